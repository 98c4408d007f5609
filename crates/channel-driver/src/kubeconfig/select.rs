//! From merged files to one server: which entries count, and what is made of them.

use std::fmt::Display;

use base64::{Engine, prelude::BASE64_STANDARD};
use kube_client::config::{AuthInfo, Cluster, Context};

use super::{Found, Impersonation, Kubeconfig, Overrides, user};
use crate::{Endpoint, Error, Identity, Proxy, endpoint::Scheme, tls::Tls};

pub(super) fn endpoint(kubeconfig: &Kubeconfig) -> Result<Found, Error> {
    let wrong = |why: &dyn Display| Error::Usage(format!("{}: {why}", place(kubeconfig)));
    let context = context(kubeconfig).map_err(|why| wrong(&why))?;
    let name = kubeconfig.choice.cluster.as_ref().or(context.as_ref().map(|context| &context.cluster));
    let mut cluster = cluster(kubeconfig, name.map(String::as_str)).map_err(|why| wrong(&why))?;
    let name = kubeconfig.choice.user.as_deref();
    let name = name.or(context.as_ref().and_then(|context| context.user.as_deref()));
    let mut user = user(kubeconfig, name).map_err(|why| wrong(&why))?;
    kubeconfig.overrides.apply(&mut cluster, &mut user);

    let Some(server) = cluster.server.as_deref().filter(|server| !server.is_empty()) else {
        return Err(wrong(&"no server is named there, and none was given"));
    };
    // From here on there is a name to add to each error, for everything but the server and what was given beside the files.
    let of_files = |error| wrong(&error);
    let endpoint = Endpoint::new(server).map_err(of_files)?;
    let endpoint = match cluster.proxy_url.as_deref().filter(|url| !url.is_empty()) {
        Some(url) => endpoint.proxy(Proxy::new(url).map_err(of_files)?),
        None => endpoint.proxy_from_environment()?,
    };
    let impersonation = kubeconfig.overrides.impersonation.clone().or(impersonation_of(&user));
    let endpoint = endpoint.tls(tls(&cluster).map_err(of_files)?).headers(impersonation.headers()?);
    let endpoint = match (endpoint.scheme, &kubeconfig.overrides.token) {
        // As kubectl: nothing of a user goes out in the clear, unless it was said on purpose.
        (Scheme::Http, None) => endpoint,
        (Scheme::Http, Some(token)) => endpoint.credentials(Identity::anonymous().token(token)),
        (Scheme::Https, _) => user::authenticate(endpoint, name, &user, &cluster).map_err(of_files)?,
    };
    let namespace = context.and_then(|context| context.namespace).filter(|namespace| !namespace.is_empty());
    Ok(Found { endpoint, namespace: namespace.unwrap_or_else(|| "default".to_owned()) })
}

/// Where it is said, for an error: the files, the context, and what was chosen in its place.
fn place(kubeconfig: &Kubeconfig) -> String {
    let files: Vec<_> = kubeconfig.files.iter().map(|file| file.display().to_string()).collect();
    let mut place = match &files[..] {
        [] => "no kubeconfig".to_owned(),
        files => format!("the kubeconfig {}", files.join(", ")),
    };
    let choice = &kubeconfig.choice;
    let context = choice.context.as_ref().or(kubeconfig.merged.current_context.as_ref());
    for (what, name) in
        [("context", context), ("cluster", choice.cluster.as_ref()), ("user", choice.user.as_ref())]
    {
        if let Some(name) = name {
            place.push_str(&format!(", {what} {name:?}"));
        }
    }
    place
}

/// The context that counts. There need not be one: all that it says may have been chosen in its place.
fn context(kubeconfig: &Kubeconfig) -> Result<Option<Context>, String> {
    let chosen = kubeconfig.choice.context.as_ref();
    let Some(name) = chosen.or(kubeconfig.merged.current_context.as_ref()) else { return Ok(None) };
    let entry = kubeconfig.merged.contexts.iter().find(|entry| entry.name == *name);
    match entry.and_then(|entry| entry.context.clone()) {
        Some(context) => Ok(Some(context)),
        None => Err(format!("there is no context {name:?}")),
    }
}

fn cluster(kubeconfig: &Kubeconfig, name: Option<&str>) -> Result<Cluster, String> {
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return match kubeconfig.overrides.server {
            Some(_) => Ok(Cluster::default()),
            None => Err("there is no current context, and none was chosen".to_owned()),
        };
    };
    let entry = kubeconfig.merged.clusters.iter().find(|entry| entry.name == name);
    match entry.and_then(|entry| entry.cluster.clone()) {
        Some(cluster) => Ok(cluster),
        None => Err(format!("there is no cluster {name:?}")),
    }
}

/// A user whom a context names and who is not there is nobody, as for kubectl. One that was asked for has to be there.
fn user(kubeconfig: &Kubeconfig, name: Option<&str>) -> Result<AuthInfo, String> {
    let entry = kubeconfig.merged.auth_infos.iter().find(|entry| Some(&*entry.name) == name);
    match (entry, &kubeconfig.choice.user) {
        (Some(entry), _) => Ok(entry.auth_info.clone().unwrap_or_default()),
        (None, Some(name)) => Err(format!("there is no user {name:?}")),
        (None, None) => Ok(AuthInfo::default()),
    }
}

impl Overrides {
    fn apply(&self, cluster: &mut Cluster, user: &mut AuthInfo) {
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        if let Some(server) = &self.server {
            cluster.server = Some(server.clone());
            // That was for another server, as kubectl has it too.
            cluster.tls_server_name = None;
        }
        if let Some(file) = &self.certificate_authority {
            cluster.certificate_authority = Some(text(file));
            cluster.certificate_authority_data = None;
            cluster.insecure_skip_tls_verify = None;
        }
        if self.any_certificate {
            cluster.certificate_authority = None;
            cluster.certificate_authority_data = None;
            cluster.insecure_skip_tls_verify = Some(true);
        }
        if let Some(name) = &self.server_name {
            cluster.tls_server_name = Some(name.clone());
        }
        if let Some((chain, key)) = &self.client_certificate {
            user.client_certificate = Some(text(chain));
            user.client_key = Some(text(key));
            user.client_certificate_data = None;
            user.client_key_data = None;
        }
        if let Some(token) = &self.token {
            user.token = Some(token.clone().into());
            user.token_file = None;
            user.username = None;
            user.password = None;
        }
    }
}

/// How the server is known.
fn tls(cluster: &Cluster) -> Result<Tls, Error> {
    let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    let data = given(&cluster.certificate_authority_data);
    let file = given(&cluster.certificate_authority);
    let any = cluster.insecure_skip_tls_verify == Some(true);
    let tls = match (data, file) {
        (Some(_), _) | (_, Some(_)) if any => {
            return Err(Error::Usage(
                "there is a certificate authority, and it is not to be asked (insecure-skip-tls-verify): which?"
                    .to_owned(),
            ));
        }
        (Some(data), _) => Tls::new().authorities(&decode(&data, "certificate-authority-data")?)?,
        (None, Some(file)) => Tls::new().authorities_file(file.as_ref())?,
        (None, None) if any => Tls::new().danger_accept_any_certificate(),
        (None, None) => Tls::new(),
    };
    match given(&cluster.tls_server_name) {
        Some(name) => tls.server_name(&name),
        None => Ok(tls),
    }
}

/// What stands in base64 in a field. Its content goes into no error.
pub(super) fn decode(data: &str, field: &str) -> Result<Vec<u8>, Error> {
    // Long values are often broken into lines.
    let data: String = data.split_ascii_whitespace().collect();
    BASE64_STANDARD.decode(data).map_err(|_| Error::Usage(format!("{field} is not base64")))
}

fn impersonation_of(user: &AuthInfo) -> Impersonation {
    Impersonation {
        user: user.impersonate.clone().filter(|name| !name.is_empty()),
        groups: user.impersonate_groups.clone().unwrap_or_default(),
        uid: user.impersonate_uid.clone().filter(|uid| !uid.is_empty()),
        extra: user.impersonate_user_extra.clone().unwrap_or_default().into_iter().collect(),
    }
}
