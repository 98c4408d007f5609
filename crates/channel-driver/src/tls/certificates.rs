//! Certificates and keys, from PEM.

use std::{fmt, fs, path::Path, sync::Arc};

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::provider;
use crate::Error;

/// A certificate with its chain and its private key, that a client shows to a server.
#[derive(Clone)]
pub struct ClientCertificate {
    pub(crate) resolver: Arc<SingleCertAndKey>,
}

impl ClientCertificate {
    /// The chain, the client's own certificate first, and the key: both as PEM.
    ///
    /// # Errors
    /// One of them cannot be read, or the key is not that of the certificate.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Error> {
        Ok(Self { resolver: certified(chain, key, "client certificate")? })
    }

    /// As [`from_pem`](Self::from_pem), from two files, which may be the same.
    ///
    /// # Errors
    /// As `from_pem`, and if a file cannot be read.
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, Error> {
        Self::from_pem(&read(chain)?, &read(key)?)
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(…)")
    }
}

/// A certificate with its key, which has to be that of the certificate. The errors tell what kind of PEM is missing, and nothing of the key.
pub(super) fn certified(chain: &[u8], key: &[u8], what: &str) -> Result<Arc<SingleCertAndKey>, Error> {
    let chain = certificates(chain, what)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| Error::Usage(format!("the key of the {what} cannot be read: {}", why(&error))))?;
    let certified = CertifiedKey::from_der(chain, key, &provider())
        .map_err(|error| Error::Usage(format!("the {what} and its key cannot be used: {error}")))?;
    Ok(Arc::new(certified.into()))
}

/// All the certificates of a PEM text, as authorities to believe.
pub(super) fn authorities(pem: &[u8], what: &str) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, what)? {
        let added = roots.add(certificate);
        added.map_err(|error| Error::Usage(format!("the {what} cannot be used: {error}")))?;
    }
    Ok(Arc::new(roots))
}

/// All the certificates of a PEM text, of which there has to be one.
fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|error| Error::Usage(format!("the {what} cannot be read: {}", why(&error))))?;
    if read.is_empty() {
        return Err(Error::Usage(format!("the {what} cannot be read: there is no PEM certificate in it")));
    }
    Ok(read)
}

/// What is wrong with a PEM text, and nothing that stands in it: where its line breaks were lost, all of a key is on the line that is wrong.
fn why(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a PEM section has no end; are its line breaks there?",
        pem::Error::IllegalSectionStart { .. } => {
            "a PEM section does not begin as one; are its line breaks there?"
        }
        pem::Error::Base64Decode(_) => "a PEM section is not base64",
        pem::Error::NoItemsFound => "there is no such PEM section in it",
        _ => "it is not PEM",
    }
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>, Error> {
    fs::read(file).map_err(|error| Error::Usage(format!("cannot read {}: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_shows_the_key_whose_line_breaks_were_lost() {
        let key =
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJustTheSecret\n-----END PRIVATE KEY-----\n";
        for (from, to) in [("\n", "\\n"), ("\n", " "), ("\n", ""), ("-----END", "-----ENDS")] {
            let broken = key.replace(from, to);
            let secret = broken.as_bytes();
            let both =
                [ClientCertificate::from_pem(b"", secret), ClientCertificate::from_pem(secret, secret)];
            for error in both {
                let error = error.expect_err("no certificate").to_string();
                assert!(!error.contains("Secret"), "{error}");
                // As a list of numbers, which is how a library writes bytes.
                assert!(!error.contains("83, 101, 99, 114"), "{error}");
            }
        }
        let error = PrivateKeyDer::from_pem_slice(key.replace('\n', " ").as_bytes()).expect_err("one line");
        assert!(!why(&error).contains("83"));
    }
}
