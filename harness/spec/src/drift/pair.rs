//! Which sentence of the old text is which of the new one.

use crate::text::{Form, Unit};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Words in common, as a part of all words, below which two sentences are two.
const ALIKE: f64 = 0.5;
/// The same where one of the two has no keyword: a remark is seldom the ghost of a statement.
const ALIKE_WITHOUT_KEYWORD: f64 = 0.6;
/// An own text of that many words is known again below another condition.
const KNOWN_AGAIN: usize = 6;
/// Comparisons by words at most; beyond, only within a section. Two texts that have nothing to do
/// with each other are told fast.
const MOST: usize = 4_000_000;

/// What [`pairs`] found.
pub(super) struct Pairs {
    /// For each old sentence, the new one that it became.
    pub of_old: Vec<Option<usize>>,
    /// For each old sentence that has a pair, whether it stands elsewhere.
    pub moved: Vec<bool>,
    /// Sections whose heading was renamed, old name to new.
    pub renamed: BTreeMap<String, String>,
}

/// Pairs the sentences of two texts.
pub(super) fn pairs(old: &[Unit], new: &[Unit], normative: &dyn Fn(&Unit) -> bool) -> Pairs {
    let mut of_old: Vec<Option<usize>> = vec![None; old.len()];
    let mut taken = vec![false; new.len()];
    exact(old, new, &mut of_old, &mut taken);
    let renamed = renamed(old, new, &of_old);
    let section = |unit: &Unit| renamed.get(&unit.section).unwrap_or(&unit.section).clone();
    alike(old, new, normative, &section, &mut of_old, &mut taken);
    let moved = moved(old, new, normative, &section, &of_old);
    Pairs {
        of_old,
        moved,
        renamed,
    }
}

/// Pairs what has the same words: in the same section first, in order.
fn exact(old: &[Unit], new: &[Unit], of_old: &mut [Option<usize>], taken: &mut [bool]) {
    for same_section in [true, false] {
        let key = |u: &Unit| {
            let section = if same_section { u.section.as_str() } else { "" };
            (u.hash.clone(), section.to_owned())
        };
        let mut there: HashMap<_, VecDeque<usize>> = HashMap::new();
        for (index, unit) in new.iter().enumerate().filter(|(i, _)| !taken[*i]) {
            there.entry(key(unit)).or_default().push_back(index);
        }
        for (index, unit) in old.iter().enumerate() {
            if of_old[index].is_none()
                && let Some(other) = there.get_mut(&key(unit)).and_then(VecDeque::pop_front)
            {
                of_old[index] = Some(other);
                taken[other] = true;
            }
        }
    }
}

/// Sections that are gone and whose sentences are for the most part in one that is new.
fn renamed(old: &[Unit], new: &[Unit], of_old: &[Option<usize>]) -> BTreeMap<String, String> {
    let sections =
        |units: &[Unit]| -> BTreeSet<String> { units.iter().map(|u| u.section.clone()).collect() };
    let (before, after) = (sections(old), sections(new));
    let mut went: BTreeMap<&str, (usize, BTreeMap<&str, usize>)> = BTreeMap::new();
    for (index, unit) in old.iter().enumerate() {
        if after.contains(&unit.section) {
            continue;
        }
        let (all, to) = went.entry(&unit.section).or_default();
        *all += 1;
        if let Some(other) = of_old[index]
            && !before.contains(&new[other].section)
        {
            *to.entry(&new[other].section).or_default() += 1;
        }
    }
    let mut renamed = BTreeMap::new();
    for (from, (all, to)) in went {
        if let Some((to, count)) = to.into_iter().max_by_key(|(_, count)| *count)
            && 2 * count > all
        {
            renamed.insert(from.to_owned(), to.to_owned());
        }
    }
    renamed
}

/// Words of a sentence, with those of its own part.
struct Split<'a> {
    all: Vec<&'a str>,
    own: Vec<&'a str>,
}

impl<'a> Split<'a> {
    fn of(unit: &'a Unit) -> Self {
        Self {
            all: unit.text.split(' ').collect(),
            own: unit.own.split(' ').collect(),
        }
    }

    /// The bullets above it.
    fn condition(&self) -> &[&'a str] {
        &self.all[..self.all.len().saturating_sub(self.own.len())]
    }
}

/// Pairs what has mostly the same words, the most alike first.
fn alike(
    old: &[Unit],
    new: &[Unit],
    normative: &dyn Fn(&Unit) -> bool,
    section: &dyn Fn(&Unit) -> String,
    of_old: &mut [Option<usize>],
    taken: &mut [bool],
) {
    let open_old: Vec<usize> = (0..old.len()).filter(|i| of_old[*i].is_none()).collect();
    let open_new: Vec<usize> = (0..new.len()).filter(|i| !taken[*i]).collect();
    let within = open_old.len().saturating_mul(open_new.len()) > MOST;
    let split_new: Vec<Split<'_>> = open_new.iter().map(|i| Split::of(&new[*i])).collect();
    // Score in thousandths, so that it has an order; then what is nearer.
    let mut found: Vec<(u32, bool, usize, usize, usize)> = Vec::new();
    for &a in &open_old {
        let words = Split::of(&old[a]);
        let here = section(&old[a]);
        for (b, other) in open_new.iter().zip(&split_new) {
            let (a_counts, b_counts) = (normative(&old[a]), normative(&new[*b]));
            let same = here == new[*b].section;
            if (!a_counts && !b_counts)
                || (within && !same)
                // A bullet becomes a paragraph seldom, and then its words show it.
                || (old[a].form == Form::Condition) != (new[*b].form == Form::Condition)
            {
                continue;
            }
            let least = if a_counts && b_counts {
                ALIKE
            } else {
                ALIKE_WITHOUT_KEYWORD
            };
            if let Some(score) = score(&words, other, least) {
                let far = a.abs_diff(*b);
                found.push(((score * 1000.0) as u32, same, far, a, *b));
            }
        }
    }
    found
        .sort_by_key(|(score, same, far, a, b)| (std::cmp::Reverse((*score, *same)), *far, *a, *b));
    for (_, _, _, a, b) in found {
        if of_old[a].is_none() && !taken[b] {
            of_old[a] = Some(b);
            taken[b] = true;
        }
    }
}

/// How alike two sentences are, from 0 to 1; `None` below `least`. The bullets above it are a part
/// of each and count less than its own words, since siblings have them in common. A bullet and the first one that was put below it are one.
fn score(a: &Split<'_>, b: &Split<'_>, least: f64) -> Option<f64> {
    let below = |a: &Split<'_>, b: &Split<'_>| a.condition().starts_with(&b.all);
    if below(a, b) || below(b, a) {
        return Some(least);
    }
    if a.own == b.own {
        let (above, there) = (a.condition(), b.condition());
        let condition = if above == there {
            1.0
        } else {
            ratio(above, there)
        };
        let known = a.own.len() >= KNOWN_AGAIN || condition >= least;
        return known.then_some(0.5 + 0.5 * condition);
    }
    if at_most(&a.own, &b.own) < least || at_most(&a.all, &b.all) < least {
        return None;
    }
    let (own, all) = (ratio(&a.own, &b.own), ratio(&a.all, &b.all));
    (own >= least && all >= least).then_some(0.7 * own + 0.3 * all)
}

/// Words in common in order, as a part of all.
fn ratio(a: &[&str], b: &[&str]) -> f64 {
    let common: usize = similar::capture_diff_slices(similar::Algorithm::Myers, a, b)
        .iter()
        .filter(|op| op.tag() == similar::DiffTag::Equal)
        .map(|op| op.old_range().len())
        .sum();
    part(common, a.len() + b.len())
}

/// A bound of [`ratio`] that is fast: words in common in whatever order.
fn at_most(a: &[&str], b: &[&str]) -> f64 {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for word in a {
        *counts.entry(word).or_default() += 1;
    }
    let common = b
        .iter()
        .filter(|word| match counts.get_mut(**word) {
            Some(left @ 1..) => {
                *left -= 1;
                true
            }
            _ => false,
        })
        .count();
    part(common, a.len() + b.len())
}

fn part(common: usize, all: usize) -> f64 {
    if all == 0 {
        return 1.0;
    }
    2.0 * common as f64 / all as f64
}

/// Which pairs stand elsewhere: in another section, or out of the longest row of those of a section
/// that kept their order.
fn moved(
    old: &[Unit],
    new: &[Unit],
    normative: &dyn Fn(&Unit) -> bool,
    section: &dyn Fn(&Unit) -> String,
    of_old: &[Option<usize>],
) -> Vec<bool> {
    let mut moved = vec![false; old.len()];
    let mut rows: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
    for (index, unit) in old.iter().enumerate() {
        let Some(other) = of_old[index] else {
            continue;
        };
        let here = section(unit);
        if here != new[other].section {
            moved[index] = true;
        } else if normative(unit) || normative(&new[other]) {
            rows.entry(here).or_default().push((index, other));
        }
    }
    for row in rows.values() {
        let kept = longest_rising(&row.iter().map(|(_, other)| *other).collect::<Vec<_>>());
        for (place, (index, _)) in row.iter().enumerate() {
            moved[*index] = !kept.contains(&place);
        }
    }
    moved
}

/// Places of a longest rising row of `numbers`, which are all different.
fn longest_rising(numbers: &[usize]) -> BTreeSet<usize> {
    // Place of the smallest end of a rising row of each length.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(numbers.len());
    for (place, number) in numbers.iter().enumerate() {
        let length = ends.partition_point(|end| numbers[*end] < *number);
        before.push(length.checked_sub(1).map(|l| ends[l]));
        if length == ends.len() {
            ends.push(place);
        } else {
            ends[length] = place;
        }
    }
    let mut kept = BTreeSet::new();
    let mut next = ends.last().copied();
    while let Some(place) = next {
        kept.insert(place);
        next = before[place];
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_longest_row_is_kept() {
        let kept = |numbers: &[usize]| longest_rising(numbers).into_iter().collect::<Vec<_>>();
        assert_eq!(kept(&[]), [0usize; 0]);
        assert_eq!(kept(&[0, 1, 2]), [0, 1, 2]);
        assert_eq!(kept(&[3, 0, 1, 2]), [1, 2, 3]);
        assert_eq!(kept(&[0, 3, 1, 2, 4]), [0, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn a_kept_row_rises_and_none_is_longer(numbers in Just((0..7usize).collect::<Vec<_>>()).prop_shuffle()) {
            let kept: Vec<usize> = longest_rising(&numbers).into_iter().map(|p| numbers[p]).collect();
            prop_assert!(kept.is_sorted());
            let longest = (0u32..128).filter(|mask| {
                let row: Vec<_> = numbers.iter().enumerate()
                    .filter(|(i, _)| mask >> i & 1 == 1).map(|(_, n)| n).collect();
                row.is_sorted()
            }).map(u32::count_ones).max();
            prop_assert_eq!(Some(kept.len() as u32), longest);
        }

        #[test]
        fn the_fast_bound_is_one(a in "[abc]( [abc]){0,6}", b in "[abc]( [abc]){0,6}") {
            let (a, b): (Vec<&str>, Vec<&str>) = (a.split(' ').collect(), b.split(' ').collect());
            prop_assert!(ratio(&a, &b) <= at_most(&a, &b));
        }
    }
}
