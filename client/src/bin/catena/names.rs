//! Shortens the names of nodes so that they stay different.

use std::collections::BTreeSet;

/// Returns the names with at most `width` characters each. Names that are too long lose what all of
/// them have in common, such as `ip-10-0-` and `.ec2.internal`; equal names stay equal, and
/// different ones different.
pub(crate) fn short_names<'n>(
    names: impl IntoIterator<Item = &'n str>,
    width: usize,
) -> Vec<String> {
    let names: Vec<&str> = names.into_iter().collect();
    let fits = |name: &str| name.chars().count() <= width;
    if names.iter().all(|name| fits(name)) {
        return names.into_iter().map(str::to_owned).collect();
    }
    let distinct: Vec<Vec<char>> = names
        .iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|name| name.chars().collect())
        .collect();
    let shortest = distinct.iter().map(Vec::len).min().unwrap_or(0);
    let first = &distinct[0];
    let common = |from_end: bool, at: usize| {
        let letter = |name: &Vec<char>| name[if from_end { name.len() - 1 - at } else { at }];
        distinct.iter().all(|name| letter(name) == letter(first))
    };
    let (mut head, mut tail) = (0, 0);
    if distinct.len() > 1 {
        head = (0..shortest).take_while(|at| common(false, *at)).count();
        tail = (0..shortest - head).take_while(|at| common(true, *at)).count();
        // A name that is the beginning of another keeps its end.
        if distinct.iter().any(|name| name.len() == head + tail) {
            (head, tail) = (head.saturating_sub(1), 0);
        }
    }
    let short = |name: &[char]| {
        let middle = &name[head..name.len() - tail];
        let room = width.saturating_sub(usize::from(head > 0));
        let cut = middle.len() > room;
        let room = width.saturating_sub(usize::from(head > 0 || cut));
        let kept = &middle[middle.len().saturating_sub(room)..];
        let mark = if head > 0 || cut { "…" } else { "" };
        format!("{mark}{}", kept.iter().collect::<String>())
    };
    let shorts: Vec<String> = distinct.iter().map(|name| short(name)).collect();
    let are_distinct = shorts.iter().collect::<BTreeSet<_>>().len() == shorts.len();
    let of = |name: &str| {
        let name: Vec<char> = name.chars().collect();
        let at = distinct.iter().position(|other| *other == name).unwrap_or(0);
        if are_distinct { shorts[at].clone() } else { format!("node {}", at + 1) }
    };
    names.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_names_stay_different() {
        assert_eq!(short_names(["node-a", "node-b"], 8), ["node-a", "node-b"]);
        let hosts = ["ip-10-0-1-25.ec2.internal", "ip-10-0-17-3.ec2.internal"];
        assert_eq!(short_names(hosts, 8), ["…-25", "…7-3"]);
        let same = ["ip-10-0-1-25.ec2.internal"; 2];
        assert_eq!(short_names(same, 9), ["…internal"; 2]);
        assert_eq!(short_names(["catena-node", "catena-node-2"], 8), ["…e", "…e-2"]);
        let both_ends = ["a-very-long-middle-part-x", "b-very-long-middle-part-x"];
        assert_eq!(short_names(both_ends, 6), ["a", "b"]);
        let twins = ["1-the-same-ending-of-both-1", "2-the-same-ending-of-both-11"];
        let short = short_names(twins, 6);
        assert!(
            short[0] != short[1] && short.iter().all(|name| name.chars().count() <= 6),
            "{short:?}"
        );
        assert!(short_names([], 3).is_empty());
    }
}
