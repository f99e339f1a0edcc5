//! Ids: counters of one machine, never used again. What stands on a wire is kept beside them.

macro_rules! ids {
    ($($(#[$doc:meta])+ $name:ident;)+) => {$(
        $(#[$doc])+
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);
    )+};
}

ids! {
    /// One opened transport. Ids of connections that we dial are even, of accepted ones odd: the
    /// machine numbers the former, the driver the latter. Never reused.
    ConnId;
    /// One HTTP exchange: even when we ask (numbered by the machine), odd when we are asked (by the
    /// driver). Never reused.
    HttpId;
    /// One request to the store; numbered by the machine.
    StoreId;
    /// One listener; numbered by the machine.
    ListenId;
    /// One call of the application; numbered by the application's side of the handle.
    CallId;
    /// One inbound work item; numbered by the machine.
    WorkId;
    /// One peer of a server; numbered by the machine.
    PeerId;
}
