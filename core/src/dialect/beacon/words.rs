//! Words of the beacon wire that applications spell too.

use crate::api::words::WordTable;

/// Members that name what an administrative call is about.
pub mod subject {
    /// A work item.
    pub const WORK_ITEM: &str = "WorkItemHash";
    /// A run.
    pub const RUN: &str = "RunID";
    /// A worker.
    pub const BEACON: &str = "BeaconID";
    /// An enrollment token of a daemon.
    pub const TOKEN: &str = "TokenID";
    /// A daemon.
    pub const TEAM_CLUSTER: &str = "TeamClusterID";
}

/// Takes the name of work apart, `Capability/Action`; neither may be empty.
pub(crate) fn split(name: &str) -> Option<(&str, &str)> {
    name.split_once('/').filter(|(capability, action)| !capability.is_empty() && !action.is_empty())
}

/// Every set of constants of the dialect.
pub(crate) const WORDS: &[WordTable] = &[WordTable {
    dialect: "beacon",
    name: "SubjectField",
    doc: "Members that name what an administrative call is about.",
    members: &[
        ("WorkItem", subject::WORK_ITEM),
        ("Run", subject::RUN),
        ("Beacon", subject::BEACON),
        ("Token", subject::TOKEN),
        ("TeamCluster", subject::TEAM_CLUSTER),
    ],
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::json::Raw;
    use crate::dialect::beacon::wire::Subject;

    #[test]
    fn a_dispatcher_reads_every_subject_by_its_name() {
        let members = WORDS[0].members;
        let texts: Vec<_> =
            members.iter().map(|(member, field)| format!("\"{field}\":\"{member}\"")).collect();
        let payload = Raw::parse(format!("{{{}}}", texts.join(","))).unwrap();
        let read = payload.read::<Subject>().unwrap();
        let read = [read.hash, read.run, read.beacon, read.token, read.cluster];
        assert!(read.iter().zip(members).all(|(value, (member, _))| value == member), "{read:?}");
    }
}
