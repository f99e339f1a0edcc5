//! The wire protocols. Each is a folder that owns what is its own: options, wire, roles.

#[cfg(feature = "beacon")]
pub(crate) mod beacon;
#[cfg(feature = "netcluster")]
pub(crate) mod netcluster;
#[cfg(feature = "volt")]
pub(crate) mod volt;
#[cfg(feature = "wsdaemon")]
pub(crate) mod wsdaemon;
