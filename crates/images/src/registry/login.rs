//! `POST /auth`: does the registry take this credential?

use domain::{Error, Result};

use super::{DOCKER_HUB, Registries, trouble::Trouble};
use crate::auth::RegistryAuth;

/// dockerd's status text. A credential that is refused is `Unauthenticated`.
pub async fn login(registries: &Registries, auth: &RegistryAuth) -> Result<String> {
    let domain = if auth.registry().is_empty() { DOCKER_HUB } else { auth.registry() };
    let mut last = None;
    for base in registries.bases(domain).await? {
        let url = base.clone();
        match registries.repository(base, "", Some(auth.clone()), false).ping().await {
            Ok(()) => return Ok("Login Succeeded".to_owned()),
            Err(Trouble::Unreachable(text)) => last = Some(Error::unavailable(text)),
            Err(Trouble::Ours(error)) => return Err(error),
            Err(Trouble::Answer(answer)) if matches!(answer.status, 401 | 403) => {
                let text = format!("Get \"{url}v2/\": unauthorized: {}", answer.message);
                return Err(Error::Unauthenticated(text));
            }
            Err(Trouble::Answer(answer)) => {
                return Err(Error::unavailable(format!(
                    "login attempt to {url}v2/ failed with status: {}",
                    answer.status
                )));
            }
        }
    }
    Err(last.unwrap_or_else(|| Error::internal("no endpoint for a login")))
}
