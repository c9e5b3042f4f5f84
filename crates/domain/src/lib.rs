//! The nouns of Wharfinger: ids, names, specs, resources, states and what is legal in them, and the one [`Error`].
//!
//! No I/O, no async, no wire format of anybody else. Every other crate speaks in these types; Docker's JSON, the protos
//! and the rows each convert once, at their own edge.

pub mod amount;
pub mod endpoint;
pub mod error;
pub mod event;
pub mod exec;
pub mod health;
pub mod host;
pub mod id;
pub mod image;
pub mod name;
pub mod new_container;
pub mod new_network;
pub mod observation;
pub mod port;
pub mod reference;
pub mod resources;
pub mod signal;
pub mod spec;
pub mod status;
pub mod tenant;
pub mod volume;

pub use endpoint::{Endpoint, EndpointIpv6};
pub use error::{Error, Kind, Result};
pub use event::{Event, EventType, Happening};
pub use exec::{ExecRecord, ExecSpec};
pub use health::{Health, HealthStatus, Healthcheck, ProbeResult};
pub use host::{Host, HostFacts, HostState};
pub use id::{ContainerId, CredentialId, Digest, ExecId, HostId, NetworkId, TenantId, VolumeId};
pub use image::{ImageRootfs, Layer};
pub use name::ContainerName;
pub use new_container::NewContainer;
pub use new_network::{NewNetwork, NewNetworkIpv6};
pub use observation::{ExecObservation, Observation};
pub use port::{AddressState, HostPort, PortRecord, PortWish, Protocol, PublishedPort};
pub use reference::ImageRef;
pub use resources::Resources;
pub use signal::Signal;
pub use spec::{ContainerSpec, LogDriver, LogSpec, NetworkMode, RestartPolicy};
pub use status::Status;
pub use tenant::{Role, TenantRecord};
pub use volume::{MountedVolume, NewVolume, PlacedVolume, VolumeDriver};
