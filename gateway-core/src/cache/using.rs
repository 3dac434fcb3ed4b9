//! What becomes of a request for which something is stored (RFC 9111 §4).

use super::directive::Wishes;
use super::entry::Entry;
use crate::platform::Timestamp;

/// What becomes of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It is answered from the store.
    Fresh,
    /// It is answered from the store, with something stale that is allowed.
    Stale,
    /// It is answered from the store, and then a newer response is fetched (RFC 5861 §3).
    WhileRevalidating,
    /// The origin is asked first.
    Validate,
}

/// Decides. `is_stale`: whether somebody has taken the response back softly, so that it counts as stale from then on.
pub fn judge(entry: &Entry, wishes: &Wishes, is_stale: bool, now: Timestamp) -> Use {
    if entry.no_cache || wishes.no_cache {
        return Use::Validate;
    }
    let freshness = if is_stale { entry.freshness(now).min(0) } else { entry.freshness(now) };
    // RFC 8246 §2: who reloads a page asks for `max-age=0` without meaning what cannot have changed. `no-cache` means it.
    let is_settled = entry.immutable && freshness > 0;
    if !is_settled && wishes.max_age.is_some_and(|most| entry.age(now) > most) {
        return Use::Validate;
    }
    if freshness > 0 {
        let wanted = wishes.min_fresh.unwrap_or(0);
        return if freshness.unsigned_abs() < wanted { Use::Validate } else { Use::Fresh };
    }
    let stale = freshness.unsigned_abs();
    if entry.forbids_stale || wishes.min_fresh.is_some() {
        return Use::Validate;
    }
    if !is_stale && wishes.max_stale.is_some_and(|most| stale <= most) {
        return Use::Stale;
    }
    // RFC 5861 §3: so many seconds after it has become stale.
    if stale < entry.while_revalidate { Use::WhileRevalidating } else { Use::Validate }
}

/// Whether a response may be used because the origin has failed (RFC 5861 §4).
pub fn survives_failure(entry: &Entry, wishes: &Wishes, now: Timestamp) -> bool {
    if entry.no_cache || wishes.no_cache {
        return false;
    }
    let freshness = entry.freshness(now);
    if freshness > 0 {
        return true;
    }
    let window = entry.if_error.max(wishes.stale_if_error.unwrap_or(0));
    // Without a window, the very second in which it becomes stale is too late.
    !entry.forbids_stale && window > 0 && freshness.unsigned_abs() <= window
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            status: 200,
            fields: Vec::new(),
            received: 0,
            requested: 0,
            initial_age: 0,
            lifetime: 60,
            while_revalidate: 30,
            if_error: 100,
            no_cache: false,
            forbids_stale: false,
            immutable: false,
            url: String::new(),
            tags: Vec::new(),
        }
    }

    #[test]
    fn what_is_stored_is_used_while_it_may_be() {
        let none = Wishes::default();
        let at = |entry: &Entry, wishes: &Wishes, second: u64| judge(entry, wishes, false, second * 1_000);
        assert_eq!(at(&entry(), &none, 59), Use::Fresh);
        assert_eq!(at(&entry(), &none, 60), Use::WhileRevalidating);
        assert_eq!(at(&entry(), &none, 89), Use::WhileRevalidating);
        assert_eq!(at(&entry(), &none, 90), Use::Validate);
        assert_eq!(at(&Entry { no_cache: true, ..entry() }, &none, 0), Use::Validate);
        assert_eq!(at(&Entry { forbids_stale: true, ..entry() }, &none, 60), Use::Validate);
        let wishes = |max_age, min_fresh, max_stale| Wishes { max_age, min_fresh, max_stale, ..Wishes::default() };
        assert_eq!(at(&entry(), &wishes(Some(10), None, None), 10), Use::Fresh);
        assert_eq!(at(&entry(), &wishes(Some(10), None, None), 11), Use::Validate);
        assert_eq!(at(&entry(), &wishes(None, Some(10), None), 50), Use::Fresh);
        assert_eq!(at(&entry(), &wishes(None, Some(10), None), 51), Use::Validate);
        assert_eq!(at(&entry(), &wishes(None, None, Some(500)), 500), Use::Stale);
        assert_eq!(at(&entry(), &wishes(None, None, Some(5)), 500), Use::Validate);
        let strict = Entry { forbids_stale: true, ..entry() };
        assert_eq!(at(&strict, &wishes(None, None, Some(500)), 500), Use::Validate);
        assert_eq!(at(&entry(), &Wishes { no_cache: true, ..none }, 0), Use::Validate);
    }

    #[test]
    fn what_does_not_change_is_validated_for_no_reload_while_it_is_fresh() {
        let settled = Entry { immutable: true, while_revalidate: 0, ..entry() };
        let reload = Wishes { max_age: Some(0), ..Wishes::default() };
        let at = |wishes: &Wishes, second: u64| judge(&settled, wishes, false, second * 1_000);
        assert_eq!((at(&reload, 59), at(&reload, 60)), (Use::Fresh, Use::Validate));
        assert_eq!(at(&Wishes { no_cache: true, ..reload.clone() }, 1), Use::Validate);
        assert_eq!(judge(&settled, &reload, true, 1_000), Use::Validate, "it was taken back");
    }

    #[test]
    fn what_was_taken_back_softly_counts_as_stale() {
        assert_eq!(judge(&entry(), &Wishes::default(), true, 0), Use::WhileRevalidating);
        assert_eq!(judge(&Entry { while_revalidate: 0, ..entry() }, &Wishes::default(), true, 0), Use::Validate);
    }

    #[test]
    fn failures_are_survived_for_a_while() {
        let at = |entry: &Entry, wishes: &Wishes, second: u64| survives_failure(entry, wishes, second * 1_000);
        let none = Wishes::default();
        assert!(at(&entry(), &none, 160) && !at(&entry(), &none, 161));
        assert!(at(&entry(), &Wishes { stale_if_error: Some(200), ..none.clone() }, 260));
        assert!(!at(&Entry { forbids_stale: true, ..entry() }, &none, 61));
        assert!(!at(&Entry { no_cache: true, ..entry() }, &none, 1));
        assert!(!at(&entry(), &Wishes { no_cache: true, ..none.clone() }, 1));
        assert!(!at(&Entry { if_error: 0, ..entry() }, &none, 60));
    }
}
