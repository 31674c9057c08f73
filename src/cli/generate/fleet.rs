//! twitcher-fleet(7): the model, the states, the faults, the limits, and the roles.

use clap_mangen::roff::{Roff, bold, roman};

use super::commands::section;
use super::manual::{VERSION, date};

/// The page.
pub(super) fn page() -> String {
    let mut page = Roff::new();
    page.control("TH", ["twitcher-fleet", "7", date(), VERSION, "Twitcher"]);
    page.control("SH", ["NAME"]);
    page.text([roman(
        "twitcher-fleet - rollouts: a limited number of machines act at once, canaries first, failures stop them",
    )]);
    page.control("SH", ["DESCRIPTION"]);
    for text in MODEL {
        page.control("PP", []);
        page.text([roman(*text)]);
    }
    for (heading, text, entries) in SECTIONS {
        if text.is_empty() {
            section(&mut page, heading, entries);
            continue;
        }
        page.control("SH", [*heading]);
        page.text([roman(*text)]);
        for (term, about) in *entries {
            page.control("TP", []);
            page.text([bold(*term)]);
            page.text([roman(*about)]);
        }
    }
    page.control("SH", ["ROLES"]);
    page.text([roman(ROLES)]);
    for (store, recipe) in [
        (
            "For group git and key /git/head in etcd; then give the roles to users with etcdctl user grant-role:",
            ETCD_ROLES,
        ),
        (ZOOKEEPER, ZOOKEEPER_ROLES),
    ] {
        page.control("PP", []);
        page.text([roman(store)]);
        page.control("PP", []);
        page.control("nf", []);
        page.text([roman(recipe.trim_end())]);
        page.control("fi", []);
    }
    page.control("PP", []);
    page.text([roman(ROLE_LIMITS)]);
    page.control("SH", ["EXAMPLES"]);
    page.control("nf", []);
    page.text([roman(EXAMPLE)]);
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"]);
    page.text([roman(
        "twitcher(1), twitcher-fleet(1), twitcher-watch(5), twitcher.conf(5), twitcher-json(7), twitcher-metrics(7)",
    )]);
    page.to_roff()
}

const MODEL: &[&str] = &[
    "A group is one watch on many hosts: the same store, key and type, and a table [watch.fleet] in its file. The hosts \
     of a group roll out each new version together: max_parallel hosts at once, canaries first, in waves, until \
     stop_on_failures hosts have failed. The fleet needs no server of its own: the hosts share keys in the store, below \
     prefix of [fleet] (/twitcher/fleet).",
    "Each host has one record in the store, and writes it only when it changes. A second key shows that its daemon is \
     alive: the store deletes it (a lease of etcd, an ephemeral node of ZooKeeper) when it has not heard from the daemon for \
     ttl. One host is the conductor: it reads all records, decides which hosts may act next, and writes their permits. If \
     it fails, any other host with conduct = true takes over.",
    "A host acts only under a permit for exactly the version that it asked for. Right before each start it claims the \
     permit: it writes its record in a transaction that the store refuses unless the permit and the host's registration \
     still exist and the conductor has applied the operators' latest order to the permit. The action starts within 10 \
     seconds of that claim or not at all. The store also refuses a grant if another host has become conductor or an \
     operator has given an order in the meantime. Therefore at most max_parallel actions of a group run at any time, \
     whichever daemons, machines or servers fail, apart from the cases in EXCEPTIONS.",
    "A host that falls silent while it has a permit keeps the permit until its action must have ended: timeout + \
     kill_after + 15 seconds. Then the conductor counts the host as lost, which is a failure, and frees the permit. \
     Silence alone frees no permit, so a store that loses leases starts nothing. If more than three hosts, and more than \
     5 % of the live ones, fall silent within one ttl, the conductor takes it for a fault of the store: nothing starts \
     until half of them are back or an operator runs twitcher fleet resume.",
    "While the store is not reachable no action starts; running actions end by themselves and their hosts report them \
     later. A watch with max_parallel = \"unlimited\" needs no permits: it acts at once, even while the store of the fleet \
     is not reachable, and only reports.",
    "Hosts may have different terms: the fields of [watch.fleet]. For each field the most careful value of all live hosts \
     is in force: the smallest max_parallel, stop_on_failures and waves, the longest soak, hold and deadline, and the \
     canaries of all. twitcher fleet status names the hosts that differ.",
];

type Section = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const SECTIONS: &[Section] = &[
    (
        "STATES OF A GROUP",
        "",
        &[
            ("idle", "No version has been rolled out yet."),
            ("rolling", "Hosts act, or wait for a permit."),
            (
                "soaking",
                "A wave is complete. No other host starts for the time of soak; failures in that time count for stop_on_failures.",
            ),
            (
                "paused",
                "An operator paused the group: no action starts, running ones end by themselves. Next: twitcher fleet resume.",
            ),
            (
                "stopped",
                "stop_on_failures hosts have failed. Next: put a newer version, or twitcher fleet resume.",
            ),
            (
                "aborted",
                "An operator aborted this version: it never starts again. Next: put a newer version.",
            ),
            (
                "done",
                "No live host is left to act. Some hosts may still lack the version: failed, silent, down or paused ones.",
            ),
            (
                "unconducted",
                "There is no conductor, so nothing starts. Either no live host has conduct = true and can read the watched key, or the group has more than 20,000 members, or a later version of twitcher wrote keys and no host with that version may conduct.",
            ),
        ],
    ),
    (
        "STATES OF A HOST",
        "",
        &[
            ("converged", "The host has applied the newest version."),
            ("asking", "It asks for a permit."),
            ("granted", "It has a permit, and waits for its mutex or for a slot of max_processes."),
            ("running", "Its action runs."),
            ("retrying", "Its action failed; it will run again under the same permit."),
            ("hold", "It has applied the newest version, and keeps its permit for the time of hold."),
            (
                "behind",
                "It has not applied the newest version and does not ask for a permit: its watch settles, splays, waits, is paused or stopped, its guard holds the version (which counts as a failure), or its daemon is silent or down.",
            ),
            ("failed", "Its last retry failed, or it was lost with its permit."),
            (
                "conflict",
                "It watches another key than most hosts, has max_parallel = \"unlimited\" where others have a limit, or another daemon has its name.",
            ),
            ("silent (flag)", "The store has not heard from its daemon for ttl or longer."),
            ("down (flag)", "Its daemon was stopped."),
            ("over (flag)", "Its action runs without a permit. It counts for max_parallel."),
        ],
    ),
    (
        "FAULTS",
        "",
        &[
            (
                "A daemon is killed and started again",
                "The new daemon takes over the host's name, adopts the action if it still runs, and keeps the permit. Failures that the host has reported still count.",
            ),
            (
                "A machine dies while it acts",
                "The host is silent after ttl, and lost when its action must have ended. From the moment when it is silent it counts as failed, so that with the default stop_on_failures = 1 nothing else starts.",
            ),
            (
                "A machine is cut off while it acts",
                "The action runs until it ends or reaches timeout. If the machine is back before it counts as lost, it reports the result and nothing else happens. If it is back later and the action still runs, the host is over until the action ends.",
            ),
            ("The conductor dies", "Another host becomes conductor within ttl + 5 seconds."),
            (
                "The conductor hangs",
                "If a host waits, another host replaces the conductor within 6 times ttl.",
            ),
            (
                "The store is not reachable",
                "Nothing starts. When the store is back, the hosts register again.",
            ),
            (
                "The store was restored from a backup",
                "The hosts write their records again, and no host gets a permit until every action that may still run must have ended. A daemon that starts after the restore notices it too: its ledger has the revision of its record. Permits that the backup lacks cannot be revoked.",
            ),
            (
                "A host that has just connected to the store begins to conduct",
                "It lets nothing start before it has been connected for one ttl, so that all hosts can report what they run. If it found the group without a conductor, and its ledger does not know the group, it waits until every action that may still run must have ended.",
            ),
            (
                "A newer version comes during a rollout",
                "Each version needs permits of its own: the rollout begins again with the canaries, and the former one is superseded. If versions come faster than a soak, none gets past the canaries: set settle.",
            ),
            (
                "A bad version is put",
                "The first host or canary fails, and the rollout stops. twitcher fleet wait exits 3 and names the host. There is no automatic rollback: put the former version.",
            ),
            (
                "All actions fail for a reason outside the version",
                "A host fails when its last retry fails or deadline ends, and the rollout stops. Next: remove the cause, then twitcher fleet resume.",
            ),
            (
                "All canaries are dead",
                "Nothing starts, and twitcher fleet status says so. twitcher fleet promote skips the canaries, and with them waves and soak.",
            ),
            (
                "Two daemons have one name",
                "The second daemon gets no permits. Its log, its twitcher status and twitcher fleet status report it. A clone cannot take the name of a live host. Next: set another host in twitcher.conf or local.conf of one of the two.",
            ),
            (
                "A host is gone for good",
                "It stays a silent member, and twitcher fleet wait waits for it unless --allow-missing permits that. twitcher fleet forget GROUP HOST removes it; with --silent 7d instead of HOST, all hosts that have been silent or down for 7 days.",
            ),
            (
                "No permit can be had, and a host must act",
                "Run twitcher trigger NAME --without-permit on it, with --cached if the store is not reachable. The host is shown as over.",
            ),
        ],
    ),
    (
        "EXCEPTIONS",
        "More than max_parallel actions can run at once only in these cases. twitcher fleet status shows each as over or lost:",
        &[
            (
                "A daemon was killed and not started again",
                "while its action ran, and no daemon enforced the timeout of the action.",
            ),
            ("A machine was suspended during a run", "and resumed after its permit had been freed."),
            (
                "A daemon was stopped (SIGSTOP) right before a start",
                "in the microseconds between its check of the claim's age and the start, until its permit had been freed.",
            ),
            (
                "An operator ordered it",
                "with twitcher fleet forget --force or twitcher trigger --without-permit.",
            ),
            ("An action left processes behind", "in the background, or could not be killed."),
            ("The store was restored from a backup", "that lacks permits under which actions still run."),
        ],
    ),
    (
        "SIZES AND LIMITS",
        "What a group costs the store, and what it may have at most.",
        &[
            (
                "While nothing changes",
                "For each host one keep-alive every third of ttl and one small read every verify_interval; for each host with conduct = true also one small read every 2 ttl. No writes.",
            ),
            (
                "A rollout",
                "At most 5 writes for each host, 6 with hold, 1 with \"unlimited\", and more for retries. The conductor also writes a summary at most every 2 seconds, and at most 3 times for each wave.",
            ),
            ("Members of a group", "20,000 at most. A group with more has no conductor."),
            (
                "Names of hosts and groups",
                "At most 64 bytes in a key, where every byte but A-Z a-z 0-9 . _ - takes three.",
            ),
            ("Records", "At most 4 KiB; the orders of operators in the key control, at most 1 KiB."),
            (
                "ttl",
                "10s to 10m. A ZooKeeper server limits it to 20 of its ticks, by default 40 s. With 10,000 hosts on etcd, set ttl = \"2m\".",
            ),
        ],
    ),
];

const ZOOKEEPER: &str = "For group git in ZooKeeper, in zkCli.sh after addauth digest USER:PASSWORD of an administrator, who keeps all rights on \
     these nodes. MEMBER, CONDUCTOR and OPERATOR stand for user:base64(sha1(user:password)) of each role:";

const ROLES: &str = "If all hosts share one user of the store, any host can forge every key of the group: grant itself a permit, or stop the \
     rollout. It still cannot choose what other hosts run. Three roles limit that. A member reads all keys of the group \
     and writes the keys of hosts. A conductor writes permits and the rollout, and needs the role of a member too: give \
     both roles to three to five hosts, and set conduct = false in [fleet] of all others. An operator, or a pipeline, \
     writes orders and the watched key.";

/// `tests/it/fleet/roles.rs` runs both recipes.
const ETCD_ROLES: &str = include_str!("roles/etcd.sh");
const ZOOKEEPER_ROLES: &str = include_str!("roles/zookeeper.txt");

const ROLE_LIMITS: &str = "In etcd a member can overwrite another member's record, because the role covers the records of all hosts. In ZooKeeper \
     it cannot if [fleet] of every host has acl = \"creator\". A hostile member can report a false state, which stops the \
     rollout or shows in twitcher fleet status, and it can slow the rollout down. It cannot start an action on another \
     host, make other hosts exceed max_parallel, or undo a pause.";

const EXAMPLE: &str = "[[watch]]\n\
    key = \"/git/head\"\n\
    action = \"/usr/local/bin/deploy\"\n\
    timeout = \"2m\"\n\
    [watch.fleet]\n\
    max_parallel = \"10%\"\n\
    canary = [\"web-canary-*\"]\n\
    waves = [1, \"10%\"]\n\
    stop_on_failures = 3\n\
    \n\
    twitcher put /git/head \"$(git rev-parse HEAD)\"\n\
    twitcher fleet wait /git/head --timeout 20m\n\
    twitcher fleet status git --follow";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::view::{GroupState, ShownState};

    fn terms(heading: &str) -> Vec<&'static str> {
        let section = SECTIONS.iter().find(|(name, ..)| *name == heading).unwrap();
        section.2.iter().map(|(term, _)| *term).collect()
    }

    #[test]
    fn every_state_is_explained() {
        let groups = [
            GroupState::Idle,
            GroupState::Rolling,
            GroupState::Soaking,
            GroupState::Paused,
            GroupState::Stopped,
            GroupState::Aborted,
            GroupState::Done,
            GroupState::Unconducted,
        ];
        assert_eq!(terms("STATES OF A GROUP"), groups.map(GroupState::word));
        let hosts = [
            ShownState::Converged,
            ShownState::Asking,
            ShownState::Granted,
            ShownState::Running,
            ShownState::Retrying,
            ShownState::Hold,
            ShownState::Behind,
            ShownState::Failed,
            ShownState::Conflict,
        ];
        assert_eq!(terms("STATES OF A HOST")[..hosts.len()], hosts.map(ShownState::word));
    }
}
