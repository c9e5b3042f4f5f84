//! `POST /build/cancel`: BuildKit's. A build of the classic builder is cancelled by closing its connection.

use domain::Error;

use crate::{error::Answer, query::Params};

pub(crate) async fn cancel(params: Params) -> Answer {
    match params.filled("id") {
        None => Err(Error::invalid("build ID not provided").into()),
        Some(_) => {
            let text =
                "builds have no ids here, as there is no BuildKit: close the connection of the build to cancel it";
            Err(Error::unsupported(text).into())
        }
    }
}
