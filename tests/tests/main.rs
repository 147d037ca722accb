//! All end-to-end tests in one binary, which is linked once.

mod accounts;
mod app;
mod archive;
mod attacks;
mod audit;
mod bad_frames;
mod bad_ids;
mod bad_input;
mod blocks;
mod bridge;
mod changes;
mod chat;
mod clock;
mod cluster;
mod commands;
mod consumers;
mod contention;
mod default_permissions;
mod directory;
mod erasure;
mod erasure_meanwhile;
mod events;
mod exactly_once;
mod first_use;
mod fleet;
mod fleet_costs;
mod fleet_presence;
mod front;
mod hidden;
mod history;
mod http2_rules;
mod identity;
mod inbox;
mod inbox_latest;
mod invitations;
mod isolation;
mod issuer;
mod join_requests;
mod kafka;
mod links;
mod load_balancers;
mod member_data;
mod moderation;
mod never_reads;
mod origins;
mod page_tokens;
mod people;
mod people_limits;
mod permissions;
mod preferences;
mod profile_claims;
mod profiles;
mod refresh;
mod reports;
mod reports_at_once;
mod rest;
mod restores;
mod resume;
mod revocation;
mod seam;
mod shutdown;
mod slow_reader;
mod slow_redis;
mod strangers;
mod tls;
mod tokens;
mod transports;
mod versions;
mod visibility;
mod webhook_content;
mod webhooks;
mod websocket_rules;
mod workers;

/// Cargo only discovers files next to this one if each is a binary of its own.
#[test]
fn every_file_of_tests_is_part_of_this_binary() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let files = std::fs::read_dir(folder).expect("the folder of the tests");
    let names = files.map(|file| file.expect("its files").file_name().to_string_lossy().into_owned());
    let modules = names.filter_map(|name| name.strip_suffix(".rs").map(str::to_owned));
    for module in modules.filter(|module| module != "main") {
        assert!(
            include_str!("main.rs").contains(&format!("\nmod {module};\n")),
            "there is no `mod {module};`"
        );
    }
}
