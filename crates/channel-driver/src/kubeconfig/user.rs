//! What a user shows to a server: what stands in the kubeconfig, and what stands in files, which are read again for each connection.

use std::{
    error, fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use channel_proto::BearerToken;
use kube_client::config::{AuthInfo, Cluster};
use secrecy::ExposeSecret;

use super::{plugin::Plugin, select::decode};
use crate::{Credentials, Endpoint, Error, Identity, IdentityFuture, tls::ClientCertificate};

/// No token, certificate or key is longer; what is, is another file.
const LONGEST: u64 = 1 << 20;

/// Gives the endpoint the credentials of the user of this name. As kubectl, a plugin is only asked where nothing else stands.
pub(super) fn authenticate(
    endpoint: Endpoint,
    name: Option<&str>,
    user: &AuthInfo,
    cluster: &Cluster,
) -> Result<Endpoint, Error> {
    let name = name.unwrap_or_default();
    let wrong = |why: &str| Error::Usage(format!("the user {name:?}: {why}"));
    if let Some(provider) = &user.auth_provider {
        return Err(wrong(&format!(
            "the auth-provider {:?} is one that kubectl has no more either; its successor is a plugin (exec)",
            provider.name
        )));
    }
    let secret = |value: &Option<secrecy::SecretString>| {
        value
            .as_ref()
            .map(|secret| secret.expose_secret().trim().to_owned())
            .filter(|value| !value.is_empty())
    };
    let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    let token = secret(&user.token);
    let file = given(&user.token_file);
    let login = given(&user.username).or_else(|| secret(&user.password).map(|_| String::new()));
    let certificate = Certificate::of(user, name)?;
    if token.as_deref().is_some_and(|token| !is_token(token)) {
        return Err(wrong("the token has characters in it that no token has"));
    }
    let fixed = match (token.clone(), &login) {
        (None, None) => Identity::anonymous(),
        (Some(token), None) => Identity::anonymous().token(token),
        (None, Some(login)) if file.is_none() => {
            Identity::anonymous().basic(login, &secret(&user.password).unwrap_or_default())
        }
        _ => return Err(wrong("there is a token, and a name with a password: which?")),
    };
    let nothing = token.is_none() && login.is_none() && file.is_none() && certificate.is_none();
    match &user.exec {
        Some(exec) if nothing => Ok(endpoint.credentials(Plugin::new(name, exec, cluster)?)),
        _ => {
            let token_file = file.map(|file| TokenFile::starting_with(file.into(), token));
            Ok(endpoint.credentials(User { name: name.into(), fixed, token_file, certificate }.into_source()))
        }
    }
}

/// Whether it can be sent as a token.
pub(super) fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A file with a credential that cannot be read, or that holds something else.
#[derive(Debug)]
#[non_exhaustive]
pub struct UnreadableFile {
    /// The user of the kubeconfig; empty for the service account of a pod.
    pub user: String,
    /// The file.
    pub file: PathBuf,
    /// Why not.
    pub problem: io::Error,
}

impl fmt::Display for UnreadableFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, file, problem } = self;
        match &**user {
            "" => write!(f, "the service account: {}: {problem}", file.display()),
            user => write!(f, "the user {user:?}: {}: {problem}", file.display()),
        }
    }
}

impl error::Error for UnreadableFile {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.problem)
    }
}

/// What a user shows.
struct User {
    name: String,
    /// What stands in the kubeconfig.
    fixed: Identity,
    token_file: Option<TokenFile>,
    certificate: Option<Certificate>,
}

impl User {
    fn into_source(self) -> Source {
        Source(Arc::new(self))
    }

    fn identity(&self) -> Result<Identity, UnreadableFile> {
        let mut identity = self.fixed.clone();
        if let Some(file) = &self.token_file {
            let token = file.read().map_err(|problem| self.unreadable(&file.path, problem))?;
            identity = identity.token(token.secret());
        }
        match &self.certificate {
            None => Ok(identity),
            Some(Certificate::Fixed(certificate)) => Ok(identity.certificate(certificate.clone())),
            Some(Certificate::Files { chain, key, last }) => {
                let read = |pem: &Pem| pem.read().map_err(|problem| self.unreadable(pem.place(), problem));
                let pem = (read(chain)?, read(key)?);
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                let certificate = match &*last {
                    Some((known, certificate)) if *known == pem => certificate.clone(),
                    _ => {
                        let made = ClientCertificate::from_pem(&pem.0, &pem.1);
                        let place = if chain.is_file() { chain.place() } else { key.place() };
                        let made = made.map_err(|error| self.unreadable(place, io::Error::other(error)))?;
                        *last = Some((pem, made.clone()));
                        made
                    }
                };
                Ok(identity.certificate(certificate))
            }
        }
    }

    fn unreadable(&self, file: &Path, problem: io::Error) -> UnreadableFile {
        UnreadableFile { user: self.name.clone(), file: file.to_owned(), problem }
    }
}

/// A user as a source of credentials.
pub(super) struct Source(Arc<User>);

impl Source {
    /// The service account of a pod.
    pub(super) fn service_account(token: PathBuf) -> Self {
        let token_file = Some(TokenFile::starting_with(token, None));
        User { name: String::new(), fixed: Identity::anonymous(), token_file, certificate: None }
            .into_source()
    }
}

impl Credentials for Source {
    fn identity(&self) -> IdentityFuture<'_> {
        let user = self.0.clone();
        let all_fixed =
            user.token_file.is_none() && !matches!(user.certificate, Some(Certificate::Files { .. }));
        Box::pin(async move {
            Ok(match all_fixed {
                true => user.identity()?,
                // Files may be on a disk that somebody has to fetch.
                false => blocking::unblock(move || user.identity()).await?,
            })
        })
    }
}

/// A token in a file, which somebody replaces from time to time.
struct TokenFile {
    path: PathBuf,
    /// What was read last. It counts when the file is gone: some take it away once the process has read it.
    last: Mutex<Option<BearerToken>>,
}

impl TokenFile {
    fn starting_with(path: PathBuf, token: Option<String>) -> Self {
        Self { path, last: Mutex::new(token.map(BearerToken::new)) }
    }

    fn read(&self) -> io::Result<BearerToken> {
        let read = read(&self.path).and_then(|content| {
            let token = str::from_utf8(&content).map(str::trim).ok().filter(|token| is_token(token));
            token.map(BearerToken::new).ok_or_else(|| io::Error::other("there is no token in it"))
        });
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(token) => Ok(last.insert(token).clone()),
            Err(error) => last.clone().ok_or(error),
        }
    }
}

/// A client certificate with its key.
enum Certificate {
    Fixed(ClientCertificate),
    /// At least one of them stands in a file. It is put together again only when something has changed.
    Files {
        chain: Pem,
        key: Pem,
        last: Mutex<Option<(PemPair, ClientCertificate)>>,
    },
}

type PemPair = (Vec<u8>, Vec<u8>);

impl Certificate {
    fn of(user: &AuthInfo, name: &str) -> Result<Option<Self>, Error> {
        let chain = Pem::of(user.client_certificate_data.as_deref(), user.client_certificate.as_deref());
        let key = user.client_key_data.as_ref().map(ExposeSecret::expose_secret);
        let key = Pem::of(key, user.client_key.as_deref());
        let wrong = |why: &dyn fmt::Display| Error::Usage(format!("the user {name:?}: {why}"));
        Ok(match (chain, key) {
            (None, None) => None,
            (Some(Pem::Data(chain)), Some(Pem::Data(key))) => {
                let pem = |data: &str, field| decode(data, field).map_err(|error| wrong(&error));
                let (chain, key) = (pem(&chain, "client-certificate-data")?, pem(&key, "client-key-data")?);
                let certificate = ClientCertificate::from_pem(&chain, &key);
                Some(Self::Fixed(certificate.map_err(|error| wrong(&error))?))
            }
            (Some(chain), Some(key)) => Some(Self::Files { chain, key, last: Mutex::default() }),
            (Some(_), None) => return Err(wrong(&"there is a client certificate, and no key for it")),
            (None, Some(_)) => return Err(wrong(&"there is a client key, and no certificate for it")),
        })
    }
}

/// PEM: in base64 in the kubeconfig, or in a file.
enum Pem {
    Data(String),
    File(PathBuf),
}

impl Pem {
    fn of(data: Option<&str>, file: Option<&str>) -> Option<Self> {
        let given = |value: &&str| !value.is_empty();
        let data = data.filter(given).map(|data| Self::Data(data.to_owned()));
        data.or_else(|| file.filter(given).map(|file| Self::File(file.into())))
    }

    fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// The file, for an error; nowhere for what stands in the kubeconfig.
    fn place(&self) -> &Path {
        match self {
            Self::Data(_) => Path::new("the kubeconfig"),
            Self::File(file) => file,
        }
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Data(data) => decode(data, "the certificate's or the key's data").map_err(io::Error::other),
            Self::File(file) => read(file),
        }
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    fs::File::open(file)?.take(LONGEST).read_to_end(&mut content)?;
    Ok(content)
}
