package view

import (
	"net/url"
	"time"

	"dmarcgate/results"
)

// SenderDays is how many days the page of senders looks back.
const SenderDays = 7

// Senders is the page of senders.
type Senders struct {
	Days       int
	Failing    []Failing
	Overridden []Overridden
	New        []NewSender

	FailingNote, OverriddenNote, NewNote string // why a list is missing; "" for no fault
}

// Failing is an author domain whose mail fails.
type Failing struct {
	Author, Link, Quarantined, Rejected, Clients, First, Last string
	Messages                                                  Bar
}

// Overridden is an author domain with which less or more was done than it asks for.
type Overridden struct {
	Author, Link, Reason, Quarantined, Rejected, Last string
	Messages                                          Bar
}

// NewSender is a network that sends mail of an organization for the first time.
type NewSender struct{ Org, Net, First, Passed, Author, Link string }

// decisionsOf is the address of the decisions about an author domain.
func decisionsOf(author string) string {
	if author == "" {
		return ""
	}
	return "/decisions?" + url.Values{"author": {author}}.Encode()
}

// FailingOf makes the list; first has when each author domain was first seen.
func FailingOf(list []results.Failing, first []time.Time) (out []Failing) {
	most := int64(0)
	for _, f := range list {
		most = max(most, f.Messages)
	}
	for i, f := range list {
		out = append(out, Failing{
			Author: orDash(f.Author), Link: decisionsOf(f.Author), Messages: barOf(f.Messages, most), Quarantined: Number(f.Quarantined), Rejected: Number(f.Rejected),
			Clients: Number(f.Clients), First: day(first[i]), Last: Moment(f.Last),
		})
	}
	return out
}

// day is the date of a time; "not known" for none.
func day(t time.Time) string {
	if t.IsZero() {
		return "not known"
	}
	return t.UTC().Format("2006-01-02")
}

// OverriddenOf makes the list.
func OverriddenOf(list []results.Overridden) (out []Overridden) {
	most := int64(0)
	for _, o := range list {
		most = max(most, o.Messages)
	}
	for _, o := range list {
		out = append(out, Overridden{
			Author: orDash(o.Author), Link: decisionsOf(o.Author), Reason: orDash(string(o.Reason)), Messages: barOf(o.Messages, most),
			Quarantined: Number(o.Quarantined), Rejected: Number(o.Rejected), Last: Moment(o.Last),
		})
	}
	return out
}

// NewOf makes the list.
func NewOf(list []results.NewSender) (out []NewSender) {
	for _, n := range list {
		passed := "no"
		if n.Passed {
			passed = "yes"
		}
		out = append(out, NewSender{Org: orDash(n.Org), Net: n.Net.String(), First: Moment(n.First), Passed: passed, Author: orDash(n.Author), Link: decisionsOf(n.Author)})
	}
	return out
}
