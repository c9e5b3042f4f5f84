//! The classic builder: a context with its Dockerfile becomes an image, step by step, as dockerd's builder without BuildKit
//! does it, with the same output.
//!
//! What reads and decides is here; what touches the world is behind [`Hands`]. Instructions that change only the config
//! make no container and no layer; COPY, ADD and WORKDIR write their layer out of the context and of what the image's
//! layers are known to hold, without a container; RUN is a container of the tenant, created, run, committed and removed.
//!
//! Beyond the classic builder: heredocs and `--chmod`, which there need BuildKit.

mod arguments;
mod builder;
mod content;
mod copy;
mod copying;
pub mod dockerfile;
mod edit;
mod expand;
mod hands;
mod ignore;
mod image;
mod instructions;
mod pattern;
mod plan;
mod running;

pub use builder::build;
pub use hands::{Failure, Hands, Request, Said, Step};
pub use image::Base;
pub use plan::Prepared;
