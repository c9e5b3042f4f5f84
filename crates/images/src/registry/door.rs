//! One HTTP exchange with a registry or its token realm, redirects included (policy I01).
//!
//! reqwest follows no redirect for us: each hop must be judged anew, and a credential must not follow to another host.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use domain::{Error, Result};
use reqwest::{
    Body, Client, Method, RequestBuilder, Response, Url,
    header::{self, HeaderMap, HeaderValue},
};

use super::{
    reach::{Reach, RegistrySettings, Rules},
    resolver::{Admits, Guard, LOOKUP_TIMEOUT},
    trouble::{self, Trouble},
};

/// Policy I01.
const REDIRECTS_MAX: usize = 5;
/// A registry that sends nothing for so long is treated as cut.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct Door {
    pub(crate) rules: Rules,
    reads: Clients,
    /// While a body goes out nothing comes in, for as long as it takes: their silence is watched from outside.
    uploads: Clients,
}

/// One for each kind of host.
struct Clients {
    public: Client,
    named: Client,
    nets: Client,
    mirror: Client,
}

/// One request; `headers` hold what is sent to every hop, `authorization` stays with the first host.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) authorization: Option<HeaderValue>,
    /// `application/x-www-form-urlencoded`.
    pub(crate) form: Option<String>,
    /// Of another type, which `headers` name.
    pub(crate) body: Option<Bytes>,
    pub(crate) as_mirror: bool,
}

impl Ask {
    pub(crate) fn get(url: Url) -> Self {
        let headers = HeaderMap::new();
        Self { method: Method::GET, url, headers, authorization: None, form: None, body: None, as_mirror: false }
    }
}

impl Door {
    pub(crate) fn new(settings: &RegistrySettings) -> Result<Self> {
        let rules = Rules::new(settings)?;
        Ok(Self { reads: Clients::new(&rules, Some(READ_TIMEOUT))?, uploads: Clients::new(&rules, None)?, rules })
    }

    /// The answer, whatever its status, after redirects.
    pub(crate) async fn send(&self, mut ask: Ask) -> Result<Response, Trouble> {
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.exchange(&ask).await?;
            let Some(next) = redirected(&ask, &answer)? else { return Ok(answer) };
            if next.origin() != ask.url.origin() {
                ask.authorization = None;
            }
            ask.url = next;
        }
        Err(Error::invalid(format!("stopped after {REDIRECTS_MAX} redirects")).into())
    }

    /// As [`send`](Self::send), with a body that can be sent once: no redirect is followed. Watch it: it may take for ever.
    pub(crate) async fn stream(&self, ask: &Ask, body: Body) -> Result<Response, Trouble> {
        let request = self.request(&self.uploads, ask).await?;
        request.body(body).send().await.map_err(|e| trouble::of_exchange(&e, &ask.url))
    }

    async fn exchange(&self, ask: &Ask) -> Result<Response, Trouble> {
        let mut request = self.request(&self.reads, ask).await?;
        if let Some(form) = &ask.form {
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.clone());
        }
        if let Some(body) = &ask.body {
            request = request.body(body.clone());
        } else if ask.method == Method::POST && ask.form.is_none() {
            // Some registries insist on a length.
            request = request.header(header::CONTENT_LENGTH, "0");
        }
        request.send().await.map_err(|e| trouble::of_exchange(&e, &ask.url))
    }

    async fn request(&self, clients: &Clients, ask: &Ask) -> Result<RequestBuilder, Trouble> {
        let client = match self.rules.reach(&ask.url, ask.as_mirror).await? {
            Reach::Public => &clients.public,
            Reach::Named => &clients.named,
            Reach::Nets => &clients.nets,
            Reach::Mirror => &clients.mirror,
        };
        let request = client.request(ask.method.clone(), ask.url.clone()).headers(ask.headers.clone());
        Ok(match &ask.authorization {
            Some(authorization) => request.header(header::AUTHORIZATION, authorization.clone()),
            None => request,
        })
    }
}

impl Clients {
    fn new(rules: &Rules, read_timeout: Option<Duration>) -> Result<Self> {
        Ok(Self {
            public: client(Admits::Public, true, read_timeout)?,
            named: client(Admits::Any, false, read_timeout)?,
            nets: client(Admits::Nets(Arc::clone(&rules.nets)), false, read_timeout)?,
            mirror: client(Admits::Any, true, read_timeout)?,
        })
    }
}

/// Where a redirect leads. Only reads are followed.
fn redirected(ask: &Ask, answer: &Response) -> Result<Option<Url>> {
    let follows = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    if !follows || ![Method::GET, Method::HEAD].contains(&ask.method) {
        return Ok(None);
    }
    let location = answer.headers().get(header::LOCATION).and_then(|v| v.to_str().ok());
    let next = location.and_then(|l| ask.url.join(l).ok());
    next.map(Some).ok_or_else(|| Error::invalid("the registry sent a redirect that leads nowhere"))
}

fn client(admits: Admits, verify: bool, read_timeout: Option<Duration>) -> Result<Client> {
    let builder = Client::builder();
    let builder = if let Some(timeout) = read_timeout { builder.read_timeout(timeout) } else { builder };
    builder
        .user_agent(concat!("wharfinger/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Guard::new(admits))
        .redirect(reqwest::redirect::Policy::none())
        // A proxy would connect for us, past the address check.
        .no_proxy()
        .connect_timeout(LOOKUP_TIMEOUT)
        .tls_danger_accept_invalid_certs(!verify)
        .build()
        .map_err(|e| Error::because("building an HTTP client", e))
}

/// The whole body, refused beyond `cap_bytes`.
pub(crate) async fn body(mut answer: Response, cap_bytes: u64) -> Result<Vec<u8>, Trouble> {
    let url = answer.url().clone();
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| trouble::of_exchange(&e, &url))? {
        if (bytes.len() + chunk.len()) as u64 > cap_bytes {
            return Err(Error::invalid(format!("the registry sent more than {cap_bytes} bytes (policy I04)")).into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

pub(crate) fn is_ok(answer: &Response) -> bool {
    matches!(answer.status().as_u16(), 200..=202 | 204 | 206)
}
