//! Every scenario is in one of the lists that adapters run.

use std::collections::BTreeSet;

use ordain_testkit::contract::{
    DELIVERY_SCENARIOS, PROCESS_SCENARIOS, SCENARIOS, SUBSCRIPTION_SCENARIOS,
};

#[test]
fn every_scenario_is_listed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/contract");
    let files =
        ["", "/delivery", "/process"].map(|below| std::fs::read_dir(format!("{folder}{below}")));
    let mut written = BTreeSet::new();
    for file in files.into_iter().flat_map(Result::unwrap) {
        let path = file.unwrap().path();
        if path.is_dir() {
            continue;
        }
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
    let lists = [
        SCENARIOS,
        SUBSCRIPTION_SCENARIOS,
        DELIVERY_SCENARIOS,
        PROCESS_SCENARIOS,
    ]
    .concat();
    let listed: BTreeSet<_> = lists.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(written, listed);
    assert_eq!(lists.len(), listed.len());
}
