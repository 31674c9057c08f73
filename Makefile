# The two commands of the README are `make run` and `make test`; each installs what it needs.

CARGO       ?= cargo
BUILD_NEEDS := protobuf-compiler libprotobuf-dev
TEST_NEEDS  := git etcd-server etcd-client zookeeper nginx-light jq rsyslog tmux zsh fish prometheus

.PHONY: help run test test-library test-versions test-repeat test-all check deny fuzz mutants bench soak simulate setup setup-test clean

help:
	@echo 'make run    build, and see a watch at work on samples; Ctrl-C ends it'
	@echo 'make test   everything that must hold, against real servers'
	@echo 'make test-repeat RUNS=20 LOAD=10   make test 20 times, the last 10 times under load'
	@echo 'make bench  speed and memory, as ratios within one run'
	@echo 'make soak   100,000 runs, looking for what is left behind; then a fleet: ten minutes of faults, and a thousand members'
	@echo 'make simulate   rollouts in virtual time, by seeds: 20,000 of fifty hosts and 20 of ten thousand; half an hour of one processor'
	@echo 'make check  formatting and lints; CI runs this, make test and, where it can, make test-packages'
	@echo 'make fuzz   half a minute of mutated inputs for each parser of untrusted text'
	@echo 'make mutants   mutates the pure decision code, and lists mutations that no test detects; takes hours'
	@echo 'make deny   licences and sources of all dependencies'
	@echo 'make deb rpm install   packages; see docs/CONTRIBUTING.md'
	@echo 'make test-packages     boots a Debian with systemd and installs them; needs root'
	@echo 'make test-repository   makes signed repositories of them, installs by apt and verifies with dnf; needs root'
	@echo 'make test-reproducible builds them once more elsewhere: the same bytes'
	@echo 'make test-versions     the suites of the stores on etcd 3.5, ZooKeeper 3.6 and 3.9'
	@echo 'make test-all          before a release: test, deny, fuzz, test-versions, test-packages,'
	@echo '                       test-repository and test-reproducible; needs root'

run: setup
	$(CARGO) build --release --locked --target-dir target
	@etc/demo/run target/release/twitcher

test: setup-test
	$(CARGO) test --locked --lib --bins
	$(CARGO) test --locked --test it -- --test-threads=$${TEST_THREADS:-4}
	$(CARGO) test --locked --doc
	@$(MAKE) --no-print-directory test-library

# The library alone, as a program outside the workspace uses it, with the versions that are locked here.
CONSUMER := --manifest-path tests/consumer/Cargo.toml
PACKAGES  = --edges normal,build --prefix none --format '{p}' | cut -d ' ' -f 1,2 | sort -u | grep -cv '^\(twitcher\|consumer\) '

test-library:
	cp Cargo.lock tests/consumer/Cargo.lock
	$(CARGO) test $(CONSUMER) --target-dir target
	@echo "crates that a program depends on: $$($(CARGO) tree $(CONSUMER) $(PACKAGES)) for the library alone," \
		"$$($(CARGO) tree --locked $(PACKAGES)) with the daemon and the command line"

# The suites of the stores on other versions of the servers than Debian's.
SERVERS := target/servers
STORES  := --test-threads=$${TEST_THREADS:-4} promises:: transactions:: store_

test-versions: setup-test
	.ci/server-versions $(SERVERS)
	TWITCHER_TEST_ETCD=$(CURDIR)/$(SERVERS)/etcd-3.5.1 TWITCHER_TEST_ZOOKEEPER=$(CURDIR)/$(SERVERS)/zookeeper-3.6.3 \
		$(CARGO) test --locked --test it -- $(STORES)
	TWITCHER_TEST_ZOOKEEPER=$(CURDIR)/$(SERVERS)/zookeeper-3.9.4 $(CARGO) test --locked --test it -- $(STORES) \
		--skip etcd

# One line a run; the last LOAD of them with a build and a busy disk beside them.
RUNS ?= 20
LOAD ?= 10
test-repeat: setup-test
	@.ci/repeat-test $(RUNS) $(LOAD)

test-all: test deny fuzz test-versions test-packages test-repository test-reproducible

check:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --lib --no-default-features -- -D warnings

# `make test` tries a few hundred inputs of each target. With coverage feedback: `cargo fuzz run TARGET fuzz/seeds/TARGET`;
# the targets are in fuzz/Cargo.toml.
fuzz: setup
	TWITCHER_FUZZ_SECONDS=$${FUZZ_SECONDS:-30} $(CARGO) test --locked --lib fuzz:: -- --test-threads=2 --nocapture

deny:
	PATH="$$(.ci/tool cargo-deny 0.20.2):$$PATH" $(CARGO) deny --config .config/deny.toml --locked check licenses bans sources

# The files to mutate: the pure decision code. Only one of them: make mutants FILE=src/policy/past.rs
FILE ?= src/policy/**/*.rs src/store/driver/**/*.rs src/config/diff.rs
mutants: setup
	PATH="$$(.ci/tool cargo-mutants 27.1.0):$$PATH" $(CARGO) mutants --config .config/mutants.toml \
		--output target/mutants $(foreach file,$(FILE),--file '$(file)')

bench: setup-test
	$(CARGO) bench --locked --bench speed -- $(BENCH)

soak: setup-test
	TWITCHER_SOAK_RUNS=$${TWITCHER_SOAK_RUNS:-100000} $(CARGO) test --locked --release --test it many_runs_leave_no_child_and_no_memory -- --nocapture
	TWITCHER_CHAOS_SECONDS=$${TWITCHER_CHAOS_SECONDS:-600} $(CARGO) test --locked --release --test it fleet::chaos -- --nocapture
	TWITCHER_CHAOS_SERVERS=3 TWITCHER_CHAOS_SECONDS=$${TWITCHER_CHAOS_SECONDS:-600} $(CARGO) test --locked --release --test it fleet::chaos::on -- --nocapture
	TWITCHER_CROWD=$${TWITCHER_CROWD:-1000} $(CARGO) test --locked --release --test it fleet::crowd -- --nocapture

# One seed after another; TWITCHER_FLEET_FROM is the first one, TWITCHER_FLEET_SEED the only one.
SEEDS       ?= 20000
CROWD_SEEDS ?= 20
simulate: setup
	TWITCHER_FLEET_SEEDS=$(SEEDS) $(CARGO) test --locked --release --lib fifty_hosts_under_every_fault -- --nocapture
	TWITCHER_FLEET_SEEDS=$(CROWD_SEEDS) TWITCHER_FLEET_HOSTS=10000 \
		$(CARGO) test --locked --release --lib a_crowd_under_every_fault -- --nocapture

setup:
	@.ci/install-missing $(BUILD_NEEDS)

setup-test:
	@.ci/install-missing $(BUILD_NEEDS) $(TEST_NEEDS)

clean:
	$(CARGO) clean

-include packaging/packages.mk
