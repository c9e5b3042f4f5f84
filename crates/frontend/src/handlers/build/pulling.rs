//! `FROM` and `COPY --from`: an image of the tenant, or one that is pulled now with its credentials.

use domain::{Error, ImageRef, Result};
use images::{Platform, RegistryAuth};
use inventory::Image;
use tokio::sync::mpsc;

use super::hands::Hand;
use crate::handlers::images::lines;

const AHEAD: usize = 64;

pub(super) async fn image(hand: &Hand, reference: &str, platform: &str, pull: bool) -> Result<::build::Base> {
    let wanted = Platform::parse(platform)?;
    if !pull || is_id(reference) {
        match hand.rows.image(reference).await {
            Ok(image) if platform.is_empty() || fits(&image, &wanted) => return Ok(base(image)),
            Ok(_) => {}
            Err(Error::NotFound { .. }) if !is_id(reference) => {}
            Err(error) => return Err(error),
        }
    }
    let name = reference.parse::<ImageRef>()?.with_default_tag();
    let (progress, mut heard) = mpsc::channel(AHEAD);
    let auth = credential(hand, &name);
    let pulling = hand.app.images.pull(&hand.rows, &name, Some(platform), auth, progress);
    let telling = async {
        while let Some(progress) = heard.recv().await {
            hand.output().line(&lines::line(progress)).await;
        }
    };
    let (pulled, ()) = tokio::join!(pulling, telling);
    let pulled = pulled?;
    Ok(base(hand.rows.image(pulled.id.as_str()).await?))
}

pub(super) fn base(image: Image) -> ::build::Base {
    ::build::Base { id: image.id, config: image.config, layers: image.layers }
}

fn fits(image: &Image, wanted: &Platform) -> bool {
    image.os == wanted.os && image.architecture == wanted.architecture
}

fn is_id(reference: &str) -> bool {
    let hex = reference.strip_prefix("sha256:").unwrap_or(reference);
    reference.starts_with("sha256:") || (hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn credential(hand: &Hand, name: &ImageRef) -> Option<RegistryAuth> {
    let keys: &[&str] = match name.domain() {
        "docker.io" => &["https://index.docker.io/v1/", "index.docker.io", "docker.io"],
        _ => &[],
    };
    let found = keys.iter().find_map(|key| hand.credentials.get(*key)).or_else(|| {
        let bare = |key: &str| {
            let key = key.trim_start_matches("https://").trim_start_matches("http://");
            key.split('/').next().unwrap_or_default().to_owned()
        };
        hand.credentials.iter().find(|(key, _)| bare(key) == name.domain()).map(|(_, auth)| auth)
    });
    found.cloned()
}
