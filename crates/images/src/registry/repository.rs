//! A repository at one endpoint, with one tenant's credential: the distribution specification's reads, and what its
//! writes (`upload`) share with them.
//!
//! The credential goes to the registry itself, or to the token realm that the registry names if that is https (policy
//! I02). A mirror gets none: it is another host than the one that the credential is for.

use std::{collections::HashMap, sync::Arc, time::Duration};

use base64::Engine as _;
use domain::{Digest, Error, Result};
use reqwest::{
    Method, Response, Url,
    header::{self, HeaderMap, HeaderValue},
};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{
    challenge::{self, Challenge},
    door::{self, Ask, Door},
    trouble::{Answer, TRIES, Trouble},
};
use crate::{auth::RegistryAuth, manifest::MANIFEST_MAX_BYTES, media};

/// Of error bodies and token answers.
const SMALL_MAX_BYTES: u64 = 64 << 10;
/// A tag list is paged; this is one page.
const TAGS_MAX_BYTES: u64 = 4 << 20;
const TAGS_MAX: usize = 10_000;
const PAGES_MAX: usize = 100;

pub(crate) struct Repository {
    door: Arc<Door>,
    /// `https://host/`
    base: Url,
    /// Empty for a login.
    path: String,
    auth: Option<RegistryAuth>,
    as_mirror: bool,
    /// What a token is asked for: `pull`, or `pull,push`.
    actions: &'static str,
    /// Paths of the same registry that are only read, for mounts.
    neighbours: Vec<String>,
    authorization: Mutex<Option<HeaderValue>>,
}

impl Repository {
    pub(crate) fn new(door: Arc<Door>, base: Url, path: &str, auth: Option<RegistryAuth>, as_mirror: bool) -> Self {
        let auth = auth.filter(|_| !as_mirror);
        let bearer = auth.as_ref().map(|a| a.registry_token.expose()).filter(|t| !t.is_empty());
        let authorization = Mutex::new(bearer.and_then(bearer_header));
        let (path, actions, neighbours) = (path.to_owned(), "pull", Vec::new());
        Self { door, base, path, auth, as_mirror, actions, neighbours, authorization }
    }

    /// The same for writing. Blobs of `neighbours` may be mounted: tokens are asked for them too.
    pub(crate) fn writable(self, neighbours: Vec<String>) -> Self {
        Self { actions: "pull,push", neighbours, ..self }
    }

    pub(super) fn door(&self) -> &Door {
        &self.door
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    pub(super) fn url(&self, suffix: &str) -> Result<Url> {
        let path = if self.path.is_empty() { String::new() } else { format!("{}/", self.path) };
        self.base.join(&format!("v2/{path}{suffix}")).map_err(|e| Error::because("a registry URL", e))
    }

    /// The credential in use, if `url` is the registry's own.
    pub(super) async fn authorization_for(&self, url: &Url) -> Option<HeaderValue> {
        if url.origin() == self.base.origin() { self.authorization.lock().await.clone() } else { None }
    }

    /// The document and the media type that it was sent as. A registry that was reached is asked again when it is busy or
    /// cuts the answer off; one that was not is the caller's to judge: another endpoint may have it.
    pub(crate) async fn manifest(&self, reference: &str) -> Result<(Vec<u8>, String), Trouble> {
        let mut failed = 0;
        loop {
            let mut reached = false;
            let trouble = match self.manifest_once(reference, &mut reached).await {
                Ok(document) => return Ok(document),
                Err(trouble) => trouble,
            };
            failed += 1;
            let again = trouble.is_passing() && (reached || matches!(trouble, Trouble::Answer(_)));
            if !again || failed >= TRIES {
                return Err(trouble);
            }
            tokio::time::sleep(trouble.pause(failed)).await;
        }
    }

    async fn manifest_once(&self, reference: &str, reached: &mut bool) -> Result<(Vec<u8>, String), Trouble> {
        let mut headers = HeaderMap::new();
        for accepted in media::MANIFESTS {
            headers.append(header::ACCEPT, HeaderValue::from_static(accepted));
        }
        let answer = self.ask(Method::GET, &format!("{}/manifests/{reference}", self.path), headers).await?;
        *reached = true;
        let sent_as =
            answer.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        Ok((door::body(answer, MANIFEST_MAX_BYTES).await?, sent_as))
    }

    /// A blob's bytes from `offset` on; the answer is 206, or 200 with everything where ranges are not offered.
    pub(crate) async fn blob(&self, digest: &Digest, offset: u64) -> Result<Response, Trouble> {
        let mut headers = HeaderMap::new();
        if offset > 0 {
            let range = HeaderValue::try_from(format!("bytes={offset}-"));
            headers.insert(header::RANGE, range.map_err(|e| Error::because("a range header", e))?);
        }
        self.ask(Method::GET, &format!("{}/blobs/{digest}", self.path), headers).await
    }

    /// The registry shows this blob to this credential.
    pub(crate) async fn shows_blob(&self, digest: &Digest) -> Result<(), Trouble> {
        self.ask(Method::HEAD, &format!("{}/blobs/{digest}", self.path), HeaderMap::new()).await.map(drop)
    }

    /// All pages, as the registry orders them.
    pub(crate) async fn tags(&self) -> Result<Vec<String>, Trouble> {
        #[derive(Deserialize)]
        struct Tags {
            tags: Option<Vec<String>>,
        }
        let (mut all, mut url) = (Vec::new(), self.url("tags/list")?);
        for _ in 0..PAGES_MAX {
            let answer = self.send(Ask::get(url.clone())).await?;
            let next = next_page(&answer);
            let body = door::body(answer, TAGS_MAX_BYTES).await?;
            let invalid = |_| Error::unavailable("the registry sent an invalid tag list");
            let page: Tags = serde_json::from_slice(&body).map_err(invalid)?;
            all.extend(page.tags.unwrap_or_default());
            match next {
                Some(next) if next.origin() == self.base.origin() && next != url && all.len() < TAGS_MAX => url = next,
                _ => return Ok(all),
            }
        }
        Ok(all)
    }

    /// `GET /v2/`: the registry is one, and takes the credential.
    pub(crate) async fn ping(&self) -> Result<(), Trouble> {
        self.ask(Method::GET, "", HeaderMap::new()).await.map(drop)
    }

    async fn ask(&self, method: Method, suffix: &str, headers: HeaderMap) -> Result<Response, Trouble> {
        let url = self.base.join(&format!("v2/{suffix}")).map_err(|e| Error::because("a registry URL", e))?;
        self.send(Ask { method, headers, ..Ask::get(url) }).await
    }

    /// A good answer, after at most one round of authentication.
    pub(super) async fn send(&self, mut ask: Ask) -> Result<Response, Trouble> {
        (ask.authorization, ask.as_mirror) = (self.authorization.lock().await.clone(), self.as_mirror);
        let answer = self.door.send(ask.clone()).await?;
        // Another host's challenge (after a redirect) is not answered with this registry's credential.
        if answer.status() != 401 || answer.url().origin() != self.base.origin() {
            return settle(answer).await;
        }
        let Some(fresh) = self.authorize(&challenge::all(answer.headers()), &ask.url).await? else {
            return settle(answer).await;
        };
        *self.authorization.lock().await = Some(fresh.clone());
        ask.authorization = Some(fresh);
        settle(self.door.send(ask).await?).await
    }

    async fn authorize(&self, challenges: &[Challenge], url: &Url) -> Result<Option<HeaderValue>, Trouble> {
        if let Some(bearer) = challenges.iter().find(|c| c.scheme == "bearer") {
            return self.token(&bearer.params).await.map(Some);
        }
        if !challenges.iter().any(|c| c.scheme == "basic") {
            return Ok(None);
        }
        match self.auth.as_ref().filter(|a| !a.username.is_empty()) {
            Some(auth) => Ok(basic_header(auth)),
            None => Err(Error::forbidden(format!("Get \"{url}\": no basic auth credentials")).into()),
        }
    }

    /// The token flow of the distribution project: refresh token by POST, else GET with or without a password.
    async fn token(&self, params: &HashMap<String, String>) -> Result<HeaderValue, Trouble> {
        let malformed = || Error::unavailable("the registry sent an authentication challenge without a valid realm");
        let mut realm: Url = params.get("realm").and_then(|r| r.parse().ok()).ok_or_else(malformed)?;
        let own = (!self.path.is_empty()).then(|| format!("repository:{}:{}", self.path, self.actions));
        let scopes: Vec<String> =
            own.into_iter().chain(self.neighbours.iter().map(|path| format!("repository:{path}:pull"))).collect();
        // Plain http only to the very host that the tenant (and the operator) named.
        let trusted = realm.scheme() == "https" || realm.origin() == self.base.origin();
        let auth = self.auth.as_ref().filter(|_| trusted);
        let mut fields = vec![("service", params.get("service").cloned().unwrap_or_default())];
        let ask = match auth.filter(|a| !a.identity_token.is_empty()) {
            Some(auth) => {
                // OAuth knows one field, with spaces.
                fields.extend((!scopes.is_empty()).then(|| ("scope", scopes.join(" "))));
                fields.push(("grant_type", "refresh_token".to_owned()));
                fields.push(("client_id", "docker".to_owned()));
                fields.push(("refresh_token", auth.identity_token.expose().to_owned()));
                Ask { method: Method::POST, form: Some(form(&fields)), ..Ask::get(realm) }
            }
            None => {
                fields.extend(scopes.into_iter().map(|s| ("scope", s)));
                let named = auth.filter(|a| !a.username.is_empty());
                fields.extend(named.map(|a| ("account", a.username.clone())));
                realm.query_pairs_mut().extend_pairs(&fields);
                Ask { authorization: named.and_then(basic_header), ..Ask::get(realm) }
            }
        };
        read_token(self.door.send(Ask { as_mirror: self.as_mirror, ..ask }).await?).await
    }
}

/// `Link: </v2/x/tags/list?last=b&n=2>; rel="next"`
fn next_page(answer: &Response) -> Option<Url> {
    let links = answer.headers().get_all(header::LINK).iter().filter_map(|v| v.to_str().ok());
    let next = links.flat_map(|l| l.split(',')).find(|l| l.contains("rel=\"next\"") || l.contains("rel=next"))?;
    let target = next.split_once('<')?.1.split_once('>')?.0;
    answer.url().join(target).ok()
}

async fn read_token(answer: Response) -> Result<HeaderValue, Trouble> {
    #[derive(Deserialize)]
    struct Token {
        token: Option<String>,
        access_token: Option<String>,
    }
    let body = door::body(settle(answer).await?, SMALL_MAX_BYTES).await?;
    let token: Option<Token> = serde_json::from_slice(&body).ok();
    let token = token.and_then(|t| t.token.or(t.access_token)).filter(|t| !t.is_empty());
    let bearer = token.as_deref().and_then(bearer_header);
    bearer.ok_or_else(|| Error::unavailable("authorization server did not include a token in the response").into())
}

/// Good answers pass; a refusal becomes the registry's own words.
pub(super) async fn settle(answer: Response) -> Result<Response, Trouble> {
    if door::is_ok(&answer) {
        return Ok(answer);
    }
    let status = answer.status().as_u16();
    let insufficient = challenge::all(answer.headers())
        .iter()
        .any(|c| c.scheme == "bearer" && c.params.get("error").is_some_and(|e| e == "insufficient_scope"));
    // In seconds; the form with a date is not worth a parser.
    let retry_after = answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
    let body = door::body(answer, SMALL_MAX_BYTES).await.unwrap_or_default();
    let retry_after = retry_after.map(Duration::from_secs);
    Err(Trouble::Answer(Answer { retry_after, ..Answer::new(status, &body, insufficient) }))
}

fn form(fields: &[(&str, String)]) -> String {
    // `Url` is the form encoder at hand.
    let mut url = Url::parse("https://form.invalid/").ok();
    if let Some(url) = &mut url {
        url.query_pairs_mut().extend_pairs(fields);
    }
    url.and_then(|u| u.query().map(str::to_owned)).unwrap_or_default()
}

fn bearer_header(token: &str) -> Option<HeaderValue> {
    sensitive(&format!("Bearer {token}"))
}

fn basic_header(auth: &RegistryAuth) -> Option<HeaderValue> {
    let pair = format!("{}:{}", auth.username, auth.password.expose());
    sensitive(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
