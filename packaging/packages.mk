# Packages: `install` creates the tree, `deb` and `rpm` pack it, `test-packages` boots it.
#
# dpkg-deb and rpmbuild pack the tree of `install`, so that other packagers get the same from
#     make install DESTDIR=/tmp/tree PREFIX=/usr
# and a package takes seconds beyond the build. Same sources and tools give the same bytes. So every timestamp in a
# package is that of the newest entry of docs/CHANGELOG.md, and the program contains no path of the build machine.

DESTDIR ?=
PREFIX  ?= /usr
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
RELEASE ?= 1
# The maintainer of the packages. Name yourself if you distribute them: make deb rpm MAINTAINER='Name <address>'
MAINTAINER ?= Private build <nobody@twitcher.invalid>

PACKAGE_NEEDS      := dpkg-dev rpm
TEST_PACKAGE_NEEDS := debootstrap systemd-container lintian rpmlint
REPOSITORY_NEEDS   := gnupg apt-utils dpkg-dev createrepo-c rpm dnf

PACKAGE_DIR := target/package
SOURCE_DATE_EPOCH ?= $(shell date -u +%s -d "$$(sed -n 's/^\#\# \[[0-9.]*\] - //p' docs/CHANGELOG.md | head -1)")
install deb rpm lint-packages test-rpm test-repository test-packages: export SOURCE_DATE_EPOCH := $(SOURCE_DATE_EPOCH)

# Debian's name of the machine that the packages are for; arm64 is cross-built on another machine.
HOST_ARCH := $(shell dpkg --print-architecture 2>/dev/null)
ARCH ?= $(HOST_ARCH)
# The program that writes manual pages and completions: it has to run here.
GENERATOR ?= $(PACKAGE_DIR)/build/release/twitcher
# The program to pack; another one is packed as it is.
ifeq ($(ARCH),$(HOST_ARCH))
BINARY ?= $(PACKAGE_DIR)/build/release/twitcher
GENERATOR := $(BINARY)
else ifeq ($(ARCH),arm64)
TARGET := aarch64-unknown-linux-gnu
CROSS := aarch64-linux-gnu
BINARY ?= $(PACKAGE_DIR)/build/$(TARGET)/release/twitcher
else
$(error ARCH=$(ARCH): only arm64 is cross-built)
endif
PACK := ARCH=$(ARCH) GENERATOR=$(GENERATOR)

REMAP := --remap-path-prefix=$(CURDIR)=/twitcher --remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=/cargo
PREFIX_MAP := -ffile-prefix-map=$(CURDIR)=/twitcher -ffile-prefix-map=$${CARGO_HOME:-$$HOME/.cargo}=/cargo

.PHONY: install deb rpm packages test-packages test-rpm test-repository test-reproducible base-system lint-packages setup-packages \
	packaged-binary

packages: deb rpm

$(PACKAGE_DIR)/build/release/twitcher: packaged-binary
packaged-binary: setup
	CFLAGS="$(PREFIX_MAP)" RUSTFLAGS="$(REMAP)" CARGO_TARGET_DIR=$(PACKAGE_DIR)/build \
		$(CARGO) build --release --locked --bin twitcher

ifdef TARGET
$(PACKAGE_DIR)/build/$(TARGET)/release/twitcher: cross-binary
.PHONY: cross-binary
cross-binary: setup
	@.ci/install-missing gcc-$(CROSS)
	rustup target add $(TARGET)
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$(CROSS)-gcc CC_aarch64_unknown_linux_gnu=$(CROSS)-gcc \
		CFLAGS_aarch64_unknown_linux_gnu="$(PREFIX_MAP)" RUSTFLAGS="$(REMAP)" \
		CARGO_TARGET_DIR=$(PACKAGE_DIR)/build \
		$(CARGO) build --release --locked --bin twitcher --target $(TARGET)
endif

install: $(BINARY) $(GENERATOR)
	@$(PACK) packaging/install $(BINARY) '$(DESTDIR)' '$(PREFIX)'

deb: setup-packages $(BINARY) $(GENERATOR)
	@$(PACK) packaging/debian/build $(BINARY) $(PACKAGE_DIR) $(VERSION) $(RELEASE) '$(MAINTAINER)'

rpm: setup-packages $(BINARY) $(GENERATOR)
	@$(PACK) packaging/rpm/build $(BINARY) $(PACKAGE_DIR) $(VERSION) $(RELEASE) '$(MAINTAINER)'

# Installs the .deb in a Debian with a systemd of its own, and the .rpm in a root of its own. Needs root.
test-packages: test-rpm base-system
	@packaging/test/boot $(BINARY) $(PACKAGE_DIR) $(VERSION) '$(MAINTAINER)'

test-rpm: lint-packages
	@packaging/test/rpm $(PACKAGE_DIR)

# Runs the commands of docs/install.md: makes signed repositories, installs from the apt one, and verifies the dnf one.
# Needs root.
test-repository: deb rpm base-system
	@.ci/install-missing $(REPOSITORY_NEEDS)
	@packaging/test/repository $(PACKAGE_DIR)

# The Debian to boot; fails if this machine cannot boot one.
base-system:
	@.ci/install-missing $(TEST_PACKAGE_NEEDS)
	@packaging/test/base $(PACKAGE_DIR)

# Builds the packages again elsewhere, and compares every byte.
test-reproducible: deb rpm
	@packaging/test/reproducible $(PACKAGE_DIR) '$(MAINTAINER)'

lint-packages: deb rpm
	@.ci/install-missing $(TEST_PACKAGE_NEEDS)
	lintian --fail-on error --profile debian --allow-root $(PACKAGE_DIR)/twitcher_*.deb
	rpmlint --config packaging/rpm/rpmlint.toml $(PACKAGE_DIR)/twitcher-*.rpm

setup-packages:
	@.ci/install-missing $(PACKAGE_NEEDS)
