//! "Did you mean": the known name that is closest to what was written.

/// The name that was probably meant, if one is close enough.
pub(crate) fn closest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| -> Vec<char> {
        text.chars().filter(|c| !matches!(c, '-' | '_' | '.' | ' ')).flat_map(char::to_lowercase).take(64).collect()
    };
    let written = plain(written);
    known
        .into_iter()
        .map(|name| {
            let name_plain = plain(name);
            let most = written.len().max(name_plain.len()) / 3;
            (distance(&written, &name_plain), most, name)
        })
        .filter(|(distance, most, _)| distance <= most)
        .min_by_key(|(distance, _, _)| *distance)
        .map(|(_, _, name)| name)
}

/// How many characters must be added, removed, replaced, or swapped with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &cb) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(ca != cb)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && ca == b[j - 1] && cb == a[i - 1] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_close_is_offered_and_nothing_else() {
        let known = ["upstream", "path", "path_prefix", "method", "host"];
        for (written, meant) in [
            ("upstrem", Some("upstream")),
            ("upsteram", Some("upstream")),
            ("pathPrefix", Some("path_prefix")),
            ("methods", Some("method")),
            ("hots", Some("host")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(closest(written, known), meant, "{written}");
        }
    }
}
