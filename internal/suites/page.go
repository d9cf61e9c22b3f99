package suites

import "testing"

// Section notes which section of its specification a case is about, for the
// page of internal/conformance. A case without one is counted under no section.
func Section(t testing.TB, section string) { t.Attr("section", section) }

// Deviates notes that our result is not the one that the suite expects, and
// why. The test then asserts our result; the page names the case.
func Deviates(t testing.TB, reason string) { t.Attr("deviates", reason) }
