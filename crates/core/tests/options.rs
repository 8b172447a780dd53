//! The page of all options lists all options.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use ordain::subscription::SubscriptionOptions;
use ordain::{Config, ProcessOptions};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/options.md");

fn fields(options: &impl Debug) -> Vec<String> {
    let shown = format!("{options:#?}");
    let lines = shown.lines().filter_map(|line| line.strip_prefix("    "));
    let fields = lines.filter(|line| !line.starts_with([' ', '}', ')']));
    fields
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[test]
fn every_option_is_on_the_page() {
    if !Path::new(PAGE).exists() {
        // The package alone has no page.
        return;
    }
    let page = fs::read_to_string(PAGE).unwrap();
    let (app, subscription) = page.split_once("## Of a subscription").unwrap();
    let (subscription, process) = subscription.split_once("## Of a process manager").unwrap();
    for (part, names) in [
        (app, fields(&Config::new())),
        (subscription, fields(&SubscriptionOptions::new())),
        (process, fields(&ProcessOptions::new())),
    ] {
        assert!(names.len() > 7, "{names:?}");
        for name in names {
            assert!(part.contains(&format!("| `{name}` |")), "{name} is missing");
        }
    }
}
