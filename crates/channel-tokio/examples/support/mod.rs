//! Where these examples run: in the pod that is named on the command line, or in an embedded one.

use std::{env, error::Error};

/// A pod, and kube's client of its API server.
pub(crate) struct Setting {
    pub(crate) kube: kube::Client,
    pub(crate) pod: String,
    /// Served until it is dropped.
    _embedded: Option<channel_pod::Pod>,
}

pub(crate) async fn setting() -> Result<Setting, Box<dyn Error>> {
    if let Some(pod) = env::args().nth(1) {
        let kube = kube::Client::try_default().await?;
        return Ok(Setting { kube, pod, _embedded: None });
    }
    let embedded = channel_pod::Pod::builder().start().await?;
    let mut config = kube::Config::new(embedded.url().parse()?);
    config.auth_info.token = Some(embedded.token().to_owned().into());
    let (kube, pod) = (kube::Client::try_from(config)?, embedded.name().to_owned());
    Ok(Setting { kube, pod, _embedded: Some(embedded) })
}
