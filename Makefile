# The front door. `sudo make demo` and `sudo make test` are all that a new machine needs.

CONFIGURATION ?= release
SWIFT ?= swift
BUILD = $(SWIFT) build -c $(CONFIGURATION)
PROGRAMS = holdfastd holdfastctl holdfast-proxy holdfast-file-server
BIN = .build/$(CONFIGURATION)

PREFIX ?= /usr
SYSCONFDIR ?= /etc
UNITDIR ?= /usr/lib/systemd/system
SYSUSERSDIR ?= /usr/lib/sysusers.d
DESTDIR ?=

.PHONY: build lab demo test test-build simulate soak chaos bench install install-deps format lint clean

build: install-deps
	@for name in $(PROGRAMS); do $(BUILD) --product $$name || exit 1; done

# All programs, those of the laboratory too.
lab: install-deps
	$(BUILD)

# Two hosts and a client as network namespaces; the active one is cut off in the middle of a download. Needs root.
demo: lab
	$(BIN)/holdfast-lab demo

# The failover tests run the optimised programs, one test at a time: they need both cores for the hosts.
test: lab test-build
	HOLDFAST_PRODUCTS=$(CURDIR)/$(BIN) SWIFT="$(SWIFT)" Tests/run-tests

test-build: install-deps
	@.ci/install-dependencies tests
	$(SWIFT) build --build-tests

# Two hosts' pure cores in virtual time, SEEDS runs for each policy: a few million steps.
SEEDS ?= 150
simulate: install-deps
	$(BUILD) --product holdfast-simulate
	$(BIN)/holdfast-simulate --seeds $(SEEDS)

# 50 crashes per shape, at random instants: an hour or less.
soak: lab
	$(BIN)/holdfast-lab soak

# Real daemons under all kinds of traffic through a random sequence of faults. A seed has the same faults come again.
MINUTES ?= 5
SEED ?=
chaos: lab
	$(BIN)/holdfast-lab chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# Plain TCP, a bare gate and Holdfast, side by side.
bench: lab
	$(BIN)/holdfast-lab bench

# The Swift library's reference: .build/docs/Holdfast.doccarchive. A warning is an error.
MODULES = .build/debug
docs: install-deps
	$(SWIFT) build --product holdfast-file-server
	rm -rf .build/docs && mkdir -p .build/docs/symbols
	$(SWIFT) symbolgraph-extract -module-name Holdfast -target $$(uname -m)-unknown-linux-gnu -minimum-access-level public \
	  -I $(MODULES)/Modules -I Sources/CNetlink -I .build/checkouts/swift-system/Sources/CSystem/include \
	  -Xcc -fmodule-map-file=$(MODULES)/CLinux.build/module.modulemap -Xcc -I/usr/include/libnl3 \
	  -output-dir .build/docs/symbols
	docc convert Sources/Holdfast/Holdfast.docc --additional-symbol-graph-dir .build/docs/symbols \
	  --fallback-display-name Holdfast --fallback-bundle-identifier io.holdfast \
	  --output-path .build/docs/Holdfast.doccarchive --warnings-as-errors

install: build
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSCONFDIR)/holdfast
	install -m 755 $(BIN)/holdfastd $(DESTDIR)$(PREFIX)/sbin/holdfastd
	install -m 755 $(BIN)/holdfastctl $(DESTDIR)$(PREFIX)/bin/holdfastctl
	install -m 755 $(BIN)/holdfast-proxy $(DESTDIR)$(PREFIX)/sbin/holdfast-proxy
	install -m 644 systemd/holdfastd.service $(DESTDIR)$(UNITDIR)/holdfastd.service
	install -m 644 systemd/holdfast-proxy.service $(DESTDIR)$(UNITDIR)/holdfast-proxy.service
	install -D -m 644 systemd/holdfast.sysusers $(DESTDIR)$(SYSUSERSDIR)/holdfast.conf
	@test -e $(DESTDIR)$(SYSCONFDIR)/holdfast/holdfastd.toml \
	  || install -m 640 etc/holdfast/holdfastd.toml $(DESTDIR)$(SYSCONFDIR)/holdfast/holdfastd.toml
	@# A sample: a proxy that nobody has configured must not start.
	install -m 640 etc/holdfast/holdfast-proxy.toml $(DESTDIR)$(SYSCONFDIR)/holdfast/holdfast-proxy.toml.sample
	@# The daemon runs as a user of its own, and must be able to read what it is to do. Packages do this themselves.
	@if [ -z "$(DESTDIR)" ]; then \
	  if command -v systemd-sysusers >/dev/null; then systemd-sysusers $(SYSUSERSDIR)/holdfast.conf; fi; \
	  if getent group holdfast >/dev/null; then chgrp holdfast $(SYSCONFDIR)/holdfast/*.toml $(SYSCONFDIR)/holdfast/*.sample; fi; \
	fi

# Debian packages, only those that are missing.
install-deps:
	@.ci/install-dependencies

format:
	$(SWIFT) format -i -r Package.swift Sources Examples Tests

lint:
	$(SWIFT) format lint --strict -r Package.swift Sources Examples Tests

clean:
	$(SWIFT) package clean
	rm -rf .build/demo
