# What people do here, one line each. `just check` is what CI runs.

# Everything that must be green
check: fmt clippy doc test deny

fmt:
    cargo fmt --all --check

clippy:
    cargo clippy --workspace --all-targets -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

test:
    cargo test --workspace

# The page in chromium against a real daemon (node, chromium; `.ci/run` installs them)
browser:
    cargo build && npm --prefix tests/browser ci && npm --prefix tests/browser run check && npm --prefix tests/browser test

# Licences, bans, sources (cargo install cargo-deny)
deny:
    cargo deny check licenses bans sources

# Faults of disk, clock, network and database from this seed on, until one breaks a promise
simulate SEED="0":
    RUST_BACKTRACE=0 DIVISOR_SIMULATE={{SEED}} cargo test -p divisord --lib -- --nocapture simulation::nothing

# ns per tick and index, in the engine alone
bench-kernel:
    cargo bench -p divisor-engine --bench kernel

# What 10,000 securities and 1,000 indexes cost to load and to move, with variants and by shape
bench-universe:
    cargo bench -p divisor-engine --bench universe

# Bytes nobody would send, led by coverage, to one of: codec tick fixtures filters config. What breaks
# something goes into the target's corpus. The flags are those of cargo-fuzz without a sanitizer.
fuzz TARGET SECONDS="60":
    mkdir -p daemon/fuzz/target/corpus/{{TARGET}}
    cd daemon/fuzz && RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1" \
        cargo run --release --locked --target "$(rustc -vV | sed -n 's/host: //p')" --bin {{TARGET}} -- \
        -max_total_time={{SECONDS}} -max_len=4096 -artifact_prefix=../tests/corpus/{{TARGET}}/ \
        target/corpus/{{TARGET}} ../tests/corpus/{{TARGET}}

# What hostile clients do to an honest pair's latency, attack and quiet in turns
bench-hostile:
    cargo bench -p divisord --bench hostile

# Durable ticks per second and latency through the whole daemon
bench:
    cargo bench -p divisord --bench pipeline

# History over HTTP from ten million levels; what readers cost the way of a price (some minutes, 5 GB)
bench-history:
    cargo bench -p divisord --bench pipeline -- history readers

# A daemon with a state directory of its own
run:
    cargo run --release -p divisord -- run --state target/state

# Real Dow days, then a simulated market
demo:
    cargo build --release && target/release/divisor demo

# The fixtures that are generated, generated again
fixtures:
    cargo run -p divisor-wire --example universe > fixtures/universe/universe.json

# 60 rounds of kill -9 of daemon and PostgreSQL under load (some minutes)
faults:
    DIVISOR_FAULT_ROUNDS="${DIVISOR_FAULT_ROUNDS:-60}" cargo test -p divisord --test it -- e2e::faults --nocapture --test-threads=1

# Time of a restart by length of the journal; what durability costs
bench-recovery:
    cargo bench -p divisord --bench recovery
