//! Published ports: tenants' addresses, who holds which port, and what edges must know.

mod address;
mod publish;
mod state;

pub use publish::Publication;
pub use state::AddressVersion;
