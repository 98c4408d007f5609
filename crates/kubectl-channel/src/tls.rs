//! From flags to TLS.

use channel_tokio::kubeconfig::Kubeconfig;

use crate::cli::TlsFlags;

/// How to know the server, and what to show to it, as the flags say in the place of the kubeconfig.
pub(crate) fn overridden(mut kubeconfig: Kubeconfig, flags: &TlsFlags) -> Kubeconfig {
    if let Some(file) = &flags.certificate_authority {
        kubeconfig = kubeconfig.certificate_authority(file);
    }
    if flags.insecure_skip_tls_verify {
        kubeconfig = kubeconfig.danger_accept_any_certificate();
    }
    if let (Some(chain), Some(key)) = (&flags.client_certificate, &flags.client_key) {
        kubeconfig = kubeconfig.client_certificate(chain, key);
    }
    if let Some(name) = &flags.tls_server_name {
        kubeconfig = kubeconfig.tls_server_name(name);
    }
    kubeconfig
}
