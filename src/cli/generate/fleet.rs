//! twitcher-fleet(7): the model, the words, the faults, the sizes, and the roles.

use clap_mangen::roff::{Roff, bold, roman};

use super::commands::section;
use super::manual::{VERSION, date};

/// The page.
pub(super) fn page() -> String {
    let mut page = Roff::new();
    page.control("TH", ["twitcher-fleet", "7", date(), VERSION, "Twitcher"]);
    page.control("SH", ["NAME"]);
    page.text([roman(
        "twitcher-fleet - at most so many machines at a time, canaries first, stop on failures",
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
    for (store, recipe) in [("In etcd:", ETCD_ROLES), (ZOOKEEPER, ZOOKEEPER_ROLES)] {
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
     of a group roll a new version out together: so many at a time, canaries first, in waves, until too many fail. There \
     is no server beside the store: the hosts find each other by keys below prefix of [fleet] (/twitcher/fleet).",
    "Each host keeps one record in the store, and writes it only when it changes. A key that lives as long as the daemon \
     is in contact with the store (a lease of etcd, an ephemeral node of ZooKeeper) shows that it is alive. One host is \
     the conductor: it sees all records, decides who may act next, and writes permits. Any host with conduct = true can \
     take over.",
    "A host acts only under a permit for exactly the version that it asked for. Right before each start it claims the \
     permit: a transaction that the store refuses unless the permit and the host's registration are still there and no \
     operator has paused the group since. A start happens within 10 seconds of that claim or not at all. Each grant \
     requires that no other host has taken over and that no order was given meanwhile. So at every instant at most \
     max_parallel actions of a group run, whatever daemons, machines or servers fail, apart from the exceptions below.",
    "A host that falls silent while it has a permit keeps it until its action must have ended (timeout + kill_after + 15 \
     seconds); then it counts as lost, which is a failure, and the permit is free. Silence alone frees nothing, so a \
     store that loses its leases starts nothing. When more than three hosts and more than 5 % fall silent within one \
     ttl, that is taken for the store's fault: nothing starts until half of them are back.",
    "While the store is away nothing starts; what runs ends by itself and is reported later. A watch with \
     max_parallel = \"unlimited\" has no permits: it acts at once, also then, and only reports.",
    "Hosts may disagree about the terms. In force is the most careful value of all live hosts: the smallest \
     max_parallel, stop_on_failures and waves, the longest soak, hold and deadline, and every canary. twitcher fleet \
     status says whose value that is.",
];

type Section = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const SECTIONS: &[Section] = &[
    (
        "STATES OF A GROUP",
        "",
        &[
            ("idle", "No version was rolled out yet."),
            ("rolling", "Hosts act, or wait for their turn."),
            (
                "soaking",
                "A wave is complete. Nothing starts for the time of soak, and a failure stops the rollout.",
            ),
            ("paused", "An operator lets nothing start. What runs ends by itself. twitcher fleet resume."),
            ("stopped", "stop_on_failures is reached. A newer version, or twitcher fleet resume, goes on."),
            ("aborted", "An operator ended this version. Only a newer one goes on."),
            ("done", "No live host is left to act. That does not mean that all have the version."),
            (
                "unconducted",
                "Nobody conducts, so nothing starts: no live host has conduct = true and sees the key.",
            ),
        ],
    ),
    (
        "STATES OF A HOST",
        "",
        &[
            ("converged", "It has applied the newest version."),
            ("asking", "It asks for a permit."),
            ("granted", "It has a permit, and waits for a slot or its mutex."),
            ("running", "Its action runs."),
            ("retrying", "Its action failed, and is repeated under the same permit."),
            ("hold", "It has applied the version, and keeps its permit for the time of hold."),
            (
                "behind",
                "It has not, and does not ask: it settles, splays, is paused or stopped there, or was not heard of.",
            ),
            ("failed", "Its last retry failed, its guard holds the version, or it was lost."),
            (
                "conflict",
                "It watches another key than most, has no limit where others have one, or its name is another's.",
            ),
            ("silent (flag)", "The store has not heard of its daemon for longer than ttl."),
            ("down (flag)", "Its daemon was stopped."),
            ("over (flag)", "Its action runs without a permit, and counts against the limit."),
        ],
    ),
    (
        "FAULTS",
        "",
        &[
            (
                "A daemon is killed and started again",
                "It takes its name back, adopts the action that still runs, and keeps the permit.",
            ),
            (
                "A machine dies while it acts",
                "It is silent after ttl and lost when its action must have ended. Until then it counts as failed, so that nothing more starts under the default terms.",
            ),
            (
                "A machine is cut off while it acts",
                "The action goes on to its end or timeout. Back in time, it reports; later, it is over until it ends.",
            ),
            ("The conductor dies", "Another host conducts after at most ttl + 5 seconds."),
            ("The conductor hangs", "Another host deposes it after at most six ttl."),
            ("The store is away", "Nothing starts. When it is back, hosts register again."),
            (
                "The store was restored from a backup",
                "Hosts write their records again, and nothing starts until every action must have ended. What the lost history granted cannot be undone.",
            ),
            (
                "A newer version comes meanwhile",
                "Each version needs its own permit: the rollout begins again with the canaries, and the former one is superseded. Where versions come faster than a soak, no version passes the canaries: use settle.",
            ),
            (
                "A bad version",
                "It fails on the first host or canary, and stops. twitcher fleet wait exits 3 and names the host. Nothing is rolled back by itself: put the former version.",
            ),
            (
                "Everything fails because of something else",
                "Each holder fails after deadline, and the rollout stops. twitcher fleet resume when that is mended.",
            ),
            (
                "All canaries are dead",
                "Nothing starts, and status says so. twitcher fleet promote skips them.",
            ),
            (
                "Two daemons have one name",
                "The second one gets no permits, and both sides say so. A clone cannot evict a living host.",
            ),
            (
                "A host is gone for good",
                "It is silent for ever, and twitcher fleet wait waits for it unless --allow-missing. twitcher fleet forget drops it; --silent 7d all that are gone for so long.",
            ),
            (
                "Nobody can grant a permit, and one host must act",
                "twitcher trigger --without-permit there; with --cached also while the store is away. It is shown as over.",
            ),
        ],
    ),
    (
        "EXCEPTIONS",
        "More actions than the limit can run at once only in these cases, and each is visible as over or lost:",
        &[
            (
                "Its daemon was killed and not started again",
                "and the action ran longer than its timeout: nobody enforced it.",
            ),
            (
                "The machine was suspended in the middle of a run",
                "and was woken after its permit had been freed.",
            ),
            (
                "The daemon was stopped",
                "in the microseconds between its last look at the clock and the start, for longer than the action may take.",
            ),
            (
                "An operator asked for it",
                "with twitcher fleet forget --force or twitcher trigger --without-permit.",
            ),
            ("The action left something running", "in the background, or could not be killed."),
            (
                "The store was restored from a backup",
                "after it had granted permits that the backup does not have.",
            ),
        ],
    ),
    (
        "SIZES AND LIMITS",
        "The load depends on the number of hosts only where it says so.",
        &[
            (
                "While nothing changes",
                "A keep-alive for each third of ttl and one small read for each verify_interval, each host. No writes.",
            ),
            (
                "A rollout",
                "At most 5 writes a host, 6 with hold, 1 with \"unlimited\"; and of the conductor one summary in two seconds and three writes a wave.",
            ),
            ("Members of a group", "20,000 at most; more are refused."),
            ("Names", "A host's and a group's name take at most 64 bytes in a key, after percent-encoding."),
            ("Records", "4 KiB at most; control 1 KiB."),
            (
                "ttl",
                "10s to 10m. ZooKeeper's own limits count: 20 ticks at most. With 10,000 hosts, ttl = \"2m\" on etcd.",
            ),
        ],
    ),
];

const ZOOKEEPER: &str = "In ZooKeeper, in a session of zkCli.sh that has said addauth digest for the superuser of these nodes. MEMBER, CONDUCTOR \
     and OPERATOR stand for user:base64(sha1(user:password)) of each role:";

const ROLES: &str = "With one user of the store for everybody, any member can forge anything in its group: grant itself a permit, or stop \
     the fleet. It cannot run other code on other hosts. Three roles separate that. A member reads everything and writes \
     its own keys. A conductor also writes permits and the rollout; give that role to three to five hosts, and write \
     conduct = false in twitcher.conf of all others. A host that may conduct has both roles. An operator, or a pipeline, writes control and the watched key.";

/// Tested as they stand.
const ETCD_ROLES: &str = include_str!("roles/etcd.sh");
const ZOOKEEPER_ROLES: &str = include_str!("roles/zookeeper.txt");

const ROLE_LIMITS: &str = "In etcd a member can overwrite another member's record, because a role has no prefix of each host's own; in ZooKeeper, \
     with acl = \"creator\" in [fleet] of every host, it cannot. A hostile member can lie about itself, which stops the \
     fleet or is seen, and slow all of them down. It can neither start an action on another host, nor exceed the limit \
     there, nor undo a pause.";

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
    use crate::fleet::picture::GroupState;
    use crate::fleet::view::Shown;

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
            Shown::Converged,
            Shown::Asking,
            Shown::Granted,
            Shown::Running,
            Shown::Retrying,
            Shown::Hold,
            Shown::Behind,
            Shown::Failed,
            Shown::Conflict,
        ];
        assert_eq!(terms("STATES OF A HOST")[..hosts.len()], hosts.map(Shown::word));
    }
}
