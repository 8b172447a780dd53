//! Every scenario is in one of the lists that adapters run.

use std::collections::BTreeSet;

use ordain_testkit::contract::{SCENARIOS, SUBSCRIPTION_SCENARIOS};

#[test]
fn every_scenario_is_listed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/contract");
    let mut written = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let functions = text
            .lines()
            .filter_map(|line| line.strip_prefix("pub async fn "));
        for function in functions {
            let name = function.split(['<', '(']).next().unwrap();
            written.insert(format!("{module}::{name}"));
        }
    }
    written.remove("model::keeps_the_model");
    let lists = [SCENARIOS, SUBSCRIPTION_SCENARIOS].concat();
    let listed: BTreeSet<_> = lists.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(written, listed);
    assert_eq!(lists.len(), listed.len());
}
