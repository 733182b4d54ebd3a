//! The calls of all clients, and whether a linearizable store could have given their replies.
//!
//! Counters that only grow are checked completely in linear time: an increment returns its position
//! in the order, so the order is known and only has to agree with real time. Cells are checked by
//! search, object by object, with a bound on the steps (Wing and Gong 1993, Lowe 2017).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// One call of one client.
#[derive(Clone, Debug)]
pub(super) struct CallRecord {
    #[allow(dead_code)] // printed when a check fails
    pub(super) client: usize,
    pub(super) object: u64,
    pub(super) operation: Operation,
    /// When it was called and answered, in simulated time. Without an answer it may have taken
    /// effect at any time since, or not at all.
    pub(super) called: u64,
    pub(super) answered: Option<u64>,
}

/// An operation and its result, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Adds one to a counter; returns the value before.
    CounterAdd { before: Option<i64> },
    /// Reads a counter.
    CounterGet { value: Option<i64> },
    /// Writes a cell.
    CellSet { value: u64 },
    /// Writes a cell if it has the expected value; returns whether it had.
    CellCompareAndSet { expected: u64, value: u64, swapped: Option<bool> },
    /// Reads a cell; 0 stands for a cell that was never written.
    CellGet { value: Option<u64> },
    /// Appends a value to a list.
    ListPush { value: u64 },
    /// Removes the first value of a list; `Some(None)` if it was empty. May wait for one.
    ListPop { value: Option<Option<u64>>, waits: bool },
}

/// All calls of a run.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) calls: Vec<CallRecord>,
}

impl History {
    /// Returns the number of calls that were answered.
    pub(super) fn answered(&self) -> usize {
        self.calls.iter().filter(|call| call.answered.is_some()).count()
    }

    /// Checks the calls of every object; the error describes what no linearizable store could have
    /// replied.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut by_object: BTreeMap<u64, Vec<&CallRecord>> = BTreeMap::new();
        for call in &self.calls {
            by_object.entry(call.object).or_default().push(call);
        }
        for (object, calls) in by_object {
            let checked = match calls[0].operation {
                Operation::CounterAdd { .. } | Operation::CounterGet { .. } => counter(&calls),
                Operation::CellSet { .. }
                | Operation::CellCompareAndSet { .. }
                | Operation::CellGet { .. } => cell(&calls),
                Operation::ListPush { .. } | Operation::ListPop { .. } => list(&calls),
            };
            checked.map_err(|why| format!("object {object}: {why}"))?;
        }
        Ok(())
    }
}

/// Returns when a call was answered, or the end of time if it never was.
fn end(call: &CallRecord) -> u64 {
    call.answered.unwrap_or(u64::MAX)
}

fn counter(calls: &[&CallRecord]) -> Result<(), String> {
    let mut places: BTreeMap<i64, &CallRecord> = BTreeMap::new();
    let mut open = 0_i64;
    for call in calls {
        match call.operation {
            Operation::CounterAdd { before: Some(before) } => {
                if let Some(other) = places.insert(before, call) {
                    return Err(format!("two increments from {before}: {other:?} and {call:?}"));
                }
            }
            Operation::CounterAdd { before: None } => open += 1,
            _ => {}
        }
    }
    // Increments without an answer fill the gaps, one each, and may come after all others.
    let highest = places.last_key_value().map_or(-1, |(before, _)| *before);
    let gaps = highest + 1 - i64::try_from(places.len()).map_err(|_| "too many calls")?;
    if gaps > open || places.first_key_value().is_some_and(|(before, _)| *before < 0) {
        return Err(format!("{gaps} increments took effect without a request ({open} are open)"));
    }
    // In the order of their values, none may begin after a later one has ended.
    let mut earliest_end = u64::MAX;
    for (before, call) in places.iter().rev() {
        if call.called > earliest_end {
            return Err(format!("the increment from {before} came after a later one: {call:?}"));
        }
        earliest_end = earliest_end.min(end(call));
    }
    reads_of_counter(calls, &places, open)
}

fn reads_of_counter(
    calls: &[&CallRecord],
    places: &BTreeMap<i64, &CallRecord>,
    open: i64,
) -> Result<(), String> {
    let reads: Vec<(&CallRecord, i64)> = calls
        .iter()
        .filter_map(|call| match call.operation {
            Operation::CounterGet { value: Some(value) } => Some((*call, value)),
            _ => None,
        })
        .collect();
    for (read, value) in &reads {
        // A read includes what ended before it began, and nothing that began after it ended.
        let ended = places.iter().filter(|(_, call)| end(call) < read.called);
        if let Some((before, call)) = ended.max_by_key(|(before, _)| **before)
            && *before >= *value
        {
            return Err(format!("a stale read of {value}: {read:?} began after {call:?}"));
        }
        if let Some(call) = places.get(&(value - 1))
            && call.called > end(read)
        {
            return Err(format!("a read of {value} before its increment: {read:?}, {call:?}"));
        }
        let highest = places.last_key_value().map_or(0, |(before, _)| before + 1);
        if *value > highest + open {
            return Err(format!("a read of {value}, which no increment explains: {read:?}"));
        }
    }
    let mut by_call = reads;
    by_call.sort_by_key(|(read, _)| read.called);
    for (i, (read, value)) in by_call.iter().enumerate() {
        let earlier = by_call[..i].iter().filter(|(other, _)| end(other) < read.called);
        if let Some((other, seen)) = earlier.max_by_key(|(_, seen)| *seen)
            && seen > value
        {
            return Err(format!("a read went back from {seen} to {value}: {other:?}, {read:?}"));
        }
    }
    Ok(())
}

fn list(calls: &[&CallRecord]) -> Result<(), String> {
    let mut pushed: BTreeMap<u64, &CallRecord> = BTreeMap::new();
    let mut popped: BTreeMap<u64, &CallRecord> = BTreeMap::new();
    for call in calls {
        match call.operation {
            Operation::ListPush { value } => _ = pushed.insert(value, call),
            Operation::ListPop { value: Some(Some(value)), .. } => {
                if let Some(other) = popped.insert(value, call) {
                    return Err(format!("{value} was popped twice: {other:?}, {call:?}"));
                }
            }
            _ => {}
        }
    }
    for (value, pop) in &popped {
        match pushed.get(value) {
            None => return Err(format!("{value} was popped but never pushed: {pop:?}")),
            Some(push) if push.called > end(pop) => {
                return Err(format!("{value} was popped before it was pushed: {pop:?}, {push:?}"));
            }
            Some(_) => {}
        }
    }
    // Nobody finds a list empty while it has a value, unless a call without an answer took it.
    for pop in calls {
        let Operation::ListPop { value: Some(None), .. } = pop.operation else { continue };
        let before = |call: &CallRecord| call.called < end(pop);
        let was_there = |(value, push): &(&u64, &&CallRecord)| {
            end(push) < pop.called && !popped.get(*value).is_some_and(|pop| before(pop))
        };
        let open = calls.iter().filter(|call| {
            before(call) && matches!(call.operation, Operation::ListPop { value: None, .. })
        });
        let (left, open) = (pushed.iter().filter(was_there).count(), open.count());
        if left > open {
            return Err(format!("{left} values were there, {open} may have been taken: {pop:?}"));
        }
    }
    // First in, first out: of two values that were pushed one after the other, the later one must
    // not be popped by a call that ends before the call that pops the earlier one begins.
    let mut in_order: Vec<(&u64, &&CallRecord)> = pushed.iter().collect();
    in_order.sort_by_key(|(_, push)| push.called);
    for (i, (later, push)) in in_order.iter().enumerate() {
        let Some(pop_later) = popped.get(later) else { continue };
        for (earlier, before) in &in_order[..i] {
            if end(before) < push.called
                && let Some(pop_earlier) = popped.get(earlier)
                && end(pop_later) < pop_earlier.called
            {
                return Err(format!("{later} overtook {earlier}: {pop_later:?}, {pop_earlier:?}"));
            }
        }
    }
    Ok(())
}

/// Searches for an order in which a cell could have given these replies.
fn cell(calls: &[&CallRecord]) -> Result<(), String> {
    // Unanswered reads constrain nothing.
    let mut calls: Vec<&CallRecord> = calls
        .iter()
        .copied()
        .filter(|call| {
            call.answered.is_some() || !matches!(call.operation, Operation::CellGet { .. })
        })
        .collect();
    calls.sort_by_key(|call| call.called);
    match OrderSearch::of(&calls).run() {
        Some(true) => Ok(()),
        Some(false) => Err(format!("no order explains these calls: {calls:#?}")),
        // An undecided search is not an error: the rest of the seed is checked anyway.
        None => Ok(()),
    }
}

/// A search through the orders of a cell's calls. It is not recursive, because an order is as long
/// as the history.
struct OrderSearch<'a> {
    /// The calls, in the order in which they began.
    calls: &'a [&'a CallRecord],
    /// All calls before `first_open` are done, and these after it.
    first_open: usize,
    done_behind: BTreeSet<usize>,
    /// The number of answered calls that are not done.
    left: usize,
}

/// A search gives up after so many steps.
const STEPS_MAX: u64 = 200_000;

impl<'a> OrderSearch<'a> {
    fn of(calls: &'a [&'a CallRecord]) -> OrderSearch<'a> {
        let left = calls.iter().filter(|call| call.answered.is_some()).count();
        OrderSearch { calls, first_open: 0, done_behind: BTreeSet::new(), left }
    }

    /// Returns whether there is an order; `None` if the search takes too many steps.
    fn run(&mut self) -> Option<bool> {
        // What was tried: the calls that are done, and the value after them.
        let mut seen: BTreeSet<(usize, BTreeSet<usize>, u64)> = BTreeSet::new();
        // The calls that are done, each with the value before it and the alternatives to it.
        let mut path: Vec<(usize, u64, Vec<usize>)> = Vec::new();
        let (mut value, mut next) = (0, self.next());
        let mut steps = 0;
        while self.left > 0 {
            let Some(call) = next.pop() else {
                let Some((call, before, others)) = path.pop() else { return Some(false) };
                self.put_back(call);
                (value, next) = (before, others);
                continue;
            };
            let Some(after) = step(&self.calls[call].operation, value) else { continue };
            steps += 1;
            if steps > STEPS_MAX {
                return None;
            }
            self.take(call);
            if seen.insert((self.first_open, self.done_behind.clone(), after)) {
                path.push((call, value, next));
                (value, next) = (after, self.next());
            } else {
                self.put_back(call);
            }
        }
        Some(true)
    }

    /// Returns the calls that can come next, the first to begin last: those that began before any
    /// open call ended.
    fn next(&self) -> Vec<usize> {
        let mut first_end = u64::MAX;
        let mut next = Vec::new();
        for (i, call) in self.calls.iter().enumerate().skip(self.first_open) {
            if call.called > first_end {
                break;
            }
            if !self.done_behind.contains(&i) {
                first_end = first_end.min(end(call));
                next.push(i);
            }
        }
        next.retain(|i| self.calls[*i].called <= first_end);
        next.reverse();
        next
    }

    fn take(&mut self, call: usize) {
        self.left -= usize::from(self.calls[call].answered.is_some());
        self.done_behind.insert(call);
        while self.done_behind.remove(&self.first_open) {
            self.first_open += 1;
        }
    }

    fn put_back(&mut self, call: usize) {
        self.left += usize::from(self.calls[call].answered.is_some());
        self.done_behind.extend(call..self.first_open);
        self.done_behind.remove(&call);
        self.first_open = self.first_open.min(call);
    }
}

/// Returns the value after an operation, if the cell could have given its result.
fn step(operation: &Operation, value: u64) -> Option<u64> {
    match *operation {
        Operation::CellSet { value: new } => Some(new),
        Operation::CellGet { value: seen } => {
            (seen.is_none_or(|seen| seen == value)).then_some(value)
        }
        Operation::CellCompareAndSet { expected, value: new, swapped } => {
            let swaps = value == expected;
            (swapped.is_none_or(|swapped| swapped == swaps)).then_some(if swaps {
                new
            } else {
                value
            })
        }
        _ => unreachable!("{operation:?} is no operation of a cell"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(operation: Operation, called: u64, answered: impl Into<Option<u64>>) -> CallRecord {
        CallRecord { client: 0, object: 0, operation, called, answered: answered.into() }
    }

    fn check(calls: Vec<CallRecord>) -> Result<(), String> {
        History { calls }.check()
    }

    #[test]
    fn linearizable_counters_pass() {
        let plus = |before| Operation::CounterAdd { before };
        let read = |value| Operation::CounterGet { value: Some(value) };
        check(vec![
            call(plus(Some(1)), 0, 10),
            call(plus(Some(0)), 0, 10),
            call(plus(None), 11, None),
            call(read(2), 11, 12),
            call(read(3), 13, 14),
        ])
        .unwrap();
    }

    #[test]
    fn other_counters_fail() {
        let plus = |before| Operation::CounterAdd { before };
        let read = |value| Operation::CounterGet { value: Some(value) };
        let wrong: [(&str, Vec<CallRecord>); 7] = [
            ("twice", vec![call(plus(Some(0)), 0, 1), call(plus(Some(0)), 2, 3)]),
            ("a gap", vec![call(plus(Some(1)), 0, 1)]),
            ("backwards", vec![call(plus(Some(1)), 0, 1), call(plus(Some(0)), 2, 3)]),
            ("stale", vec![call(plus(Some(0)), 0, 1), call(read(0), 2, 3)]),
            ("early", vec![call(read(1), 0, 1), call(plus(Some(0)), 2, 3)]),
            ("invented", vec![call(read(1), 0, 1)]),
            (
                "back again",
                vec![call(plus(None), 0, None), call(read(1), 1, 2), call(read(0), 3, 4)],
            ),
        ];
        for (name, calls) in wrong {
            assert!(check(calls).is_err(), "{name}");
        }
    }

    #[test]
    fn cells() {
        let write = |value| Operation::CellSet { value };
        let look = |value| Operation::CellGet { value: Some(value) };
        let swap =
            |expected, value, swapped| Operation::CellCompareAndSet { expected, value, swapped };
        check(vec![
            call(write(1), 0, 10),
            call(look(0), 1, 3),
            call(look(1), 4, 5),
            call(swap(1, 2, Some(true)), 6, 20),
            call(look(2), 7, 8),
            call(write(3), 8, None),
            call(look(3), 30, 31),
        ])
        .unwrap();
        assert!(check(vec![call(write(1), 0, 1), call(look(0), 2, 3)]).is_err());
        assert!(check(vec![call(look(1), 0, 1), call(write(1), 2, 3)]).is_err());
        assert!(
            check(vec![
                call(write(1), 0, 1),
                call(swap(1, 2, Some(true)), 2, 3),
                call(swap(1, 3, Some(true)), 4, 5)
            ])
            .is_err()
        );
        assert!(
            check(vec![call(write(1), 0, None), call(look(1), 1, 2), call(look(0), 3, 4),])
                .is_err()
        );
    }

    /// Seed 5140 has cells of thousands of calls.
    #[test]
    fn a_long_history_needs_no_stack() {
        let calls = |seen: u64| {
            let write = |i| call(Operation::CellSet { value: i }, 10 * i, 10 * i + 15);
            let look = |i| call(Operation::CellGet { value: Some(i) }, 10 * i + 16, 10 * i + 17);
            let mut calls: Vec<CallRecord> =
                (1..100_000).flat_map(|i| [write(i), look(i)]).collect();
            calls.push(call(Operation::CellGet { value: Some(seen) }, 2_000_000, 2_000_001));
            calls
        };
        let small = std::thread::Builder::new().stack_size(64 * 1024);
        let checked = small.spawn(move || check(calls(99_999))).unwrap().join().unwrap();
        checked.unwrap();
        assert!(check(calls(99_998)[199_990..].to_vec()).is_err());
    }

    #[test]
    fn lists() {
        let push = |value| Operation::ListPush { value };
        let pop = |value| Operation::ListPop { value: Some(value), waits: false };
        check(vec![call(push(1), 0, 1), call(push(2), 2, 3), call(pop(Some(1)), 4, 5)]).unwrap();
        check(vec![call(pop(None), 0, 1), call(push(2), 0, None), call(pop(Some(2)), 4, 5)])
            .unwrap();
        assert!(
            check(vec![call(push(1), 0, 1), call(pop(Some(1)), 2, 3), call(pop(Some(1)), 2, 3)])
                .is_err()
        );
        assert!(check(vec![call(push(2), 2, 3), call(pop(Some(1)), 2, 3)]).is_err());
        let lost = vec![call(push(1), 0, 1), call(pop(None), 2, 3)];
        assert!(check(lost.clone()).is_err());
        let open = Operation::ListPop { value: None, waits: true };
        check([lost, vec![call(open, 0, None)]].concat()).unwrap();
        assert!(
            check(vec![
                call(push(1), 0, 1),
                call(push(2), 2, 3),
                call(pop(Some(2)), 4, 5),
                call(pop(Some(1)), 6, 7)
            ])
            .is_err()
        );
    }
}
