//! Which stored events a subscription wants.

use std::collections::BTreeSet;

use crate::store::Filter;
use crate::{EventType, Upcasters};

/// The filter for events that are, or can become, of one of these types.
pub(crate) fn filter_of(types: &[EventType], upcasters: &Upcasters) -> Filter {
    Filter::all().types(upcasters.stored_names(types))
}

/// What tells one filter from another.
pub(crate) fn fingerprint(filter: &Filter) -> String {
    let sorted = |list: &[String]| {
        let set: BTreeSet<_> = list.iter().map(String::as_str).collect();
        set.into_iter().collect::<Vec<_>>().join(",")
    };
    let streams: Vec<_> = filter.streams.iter().map(ToString::to_string).collect();
    let parts = [
        ("types", sorted(&filter.types)),
        ("categories", sorted(&filter.categories)),
        ("streams", sorted(&streams)),
    ];
    let mut text: Vec<_> = parts
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| format!("{name}={list}"))
        .collect();
    if filter.links {
        text.push("links".to_owned());
    }
    text.join(";")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Upcaster;

    const SENT: EventType = EventType {
        name: "Sent",
        version: 2,
        first_version: 1,
        aliases: &["Posted"],
    };

    #[test]
    fn a_filter_takes_in_all_that_can_become_a_wanted_type() {
        let upcasters = Upcasters::new()
            .with(Upcaster::rename(("Old", 1), ("Booked", 1)))
            .with(Upcaster::split(
                ("Booked", 1),
                [("Sent", 1), ("Received", 1)],
                |json| Ok(vec![json.clone(), json]),
            ))
            .with(Upcaster::compatible("Sent", 1, 2))
            .with(Upcaster::rename(("Other", 1), ("Elsewhere", 1)));
        let filter = filter_of(&[SENT], &upcasters);
        assert_eq!(filter.types, ["Booked", "Old", "Posted", "Sent"]);
        assert_eq!(fingerprint(&filter), "types=Booked,Old,Posted,Sent");
    }
}
