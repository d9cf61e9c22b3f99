package policy

import (
	"encoding/json"
	"net/netip"
	"slices"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy/pattern"
)

// MaxAuthors is how many author domains of one message are evaluated. RFC
// 9989, Section 11.5, asks for a cap; a From field with more is answered as
// one that cannot be read.
const MaxAuthors = 5

// From says what the From field gave, in the words of the message package.
type From string

// The outcomes of reading From. The zero value is treated as unparsable.
const (
	FromMissing          From = "missing"
	FromOneMailbox       From = "one"
	FromSeveralMailboxes From = "several_mailboxes" // all of one domain
	FromSeveralDomains   From = "several_domains"
	FromSeveralFields    From = "several_fields"
	FromEmptyGroup       From = "empty_group" // a group without a mailbox
	FromUnparsable       From = "unparsable"

	// FromTruncated stands for all of them where the header was longer than the
	// limits: another From field may be beyond them.
	FromTruncated From = "header_truncated"
)

// Facts is everything that a decision is made from, and everything that is
// stored of a message. It holds no local part, no subject and no text of the
// body. All domains are lower-case A-labels.
type Facts struct {
	Time     time.Time `json:"time"`
	Listener string    `json:"listener"`
	QueueID  string    `json:"qid"`

	Client     netip.Addr `json:"client"` // zero when the client has no IP address, or is not known
	ClientName string     `json:"client_name,omitempty"`
	Helo       string     `json:"helo,omitempty"`
	Relay      netip.Addr `json:"relay,omitzero"` // our own relay in front, when Client was looked for in its Received field
	// UnknownClient says why Client is zero although the message came over
	// SMTP; Relay is the host that handed it over, if one did.
	UnknownClient UnknownClient `json:"unknown_client,omitempty"`

	NullPath   bool     `json:"null_path,omitempty"` // MAIL FROM:<>
	MailFrom   string   `json:"mail_from,omitempty"` // domain of MAIL FROM
	Recipients []string `json:"rcpt,omitempty"`      // domains, each once; "" for an address without one

	Skip            Skip     `json:"skip,omitempty"`
	FromField       From     `json:"from_field,omitempty"`
	HeaderTruncated bool     `json:"header_truncated,omitempty"` // the header was longer than the limits; its end is not known
	Authors         []Author `json:"authors,omitempty"`
	SPF             SPF      `json:"spf"`
	HELO            SPF      `json:"spf_helo"`
	DKIM            []DKIM   `json:"dkim,omitempty"`
	ARC             ARC      `json:"arc,omitzero"`

	// Stale tells that a stale answer of DNS was used, because no newer one could
	// be had. What that may decide is in the results already: nothing more
	// follows from it.
	Stale bool `json:"stale,omitempty"`

	// Pressed is what could not be found out, because DNS lookups for it gave
	// way to those of other messages: Pressed words. An answer that could hang
	// on it is tempfail.
	Pressed []string `json:"pressed,omitempty"`

	// What the header says of itself; anybody can write it. A message may say
	// so and not be it.
	IsList    bool   `json:"list_headers,omitempty"`   // a field of RFC 2369 or RFC 2919
	ListID    string `json:"list_id,omitempty"`        // the List-Id (RFC 2919, Section 2) without its first label, which names one list
	Automatic bool   `json:"auto_submitted,omitempty"` // Auto-Submitted other than "no" (RFC 3834, Section 5)
	TLS       bool   `json:"tls,omitempty"`            // the client used TLS

	// ReportTraffic says that the message belongs to the exchange of reports about
	// mail. Such messages alone cause no aggregate report, so that two hosts do not
	// report about each other's reports for ever. No decision depends on it. Empty
	// is ordinary mail, or not known: see Ordinary.
	ReportTraffic ReportTraffic `json:"report_traffic,omitempty"`

	// Forged is how many header fields from outside there were that only this
	// host, or its mail software, may write. They are removed from a message
	// that is delivered. TooManyForged tells that they are too many to remove.
	Forged        int  `json:"forged,omitempty"`
	TooManyForged bool `json:"too_many_forged,omitempty"`

	// BIMIEligible tells that the owner of the one author domain may have an
	// indicator shown, if there is one: see EligibleForBIMI of package dmarc.
	// Whether there is one was not asked.
	BIMIEligible bool `json:"bimi_eligible,omitempty"`
	// EarlierSPFFail tells that a field of the message says that SPF had failed for
	// the organization of an author domain when an earlier host received it:
	// where SPF passes now, a shared sender may have been used to make it pass.
	// Rules alone look at it.
	EarlierSPFFail bool `json:"earlier_spf_fail,omitempty"`

	// Seed is what the draws of this message are made from, for rules and the
	// share of messages that are enforced: a keyed hash, the same for a retry,
	// and not computable by the sender. Zero is none.
	Seed uint64 `json:"seed,omitempty"`

	// Version says which facts were recorded, FactsVersion at most; Lacks
	// which were not, or are no longer kept. See Lacking.
	Version  uint8        `json:"version,omitempty"`
	Missing  MissingFacts `json:"missing,omitempty"`
	supposed Suppose      // see Supposing; never stored

	// Trimmed is what was left out of the row because it would have been too
	// large, in words of results.Trimmed…; empty for nearly all mail. A decision
	// is made before that.
	Trimmed []string `json:"trimmed,omitempty"`

	// Deferred is how long this author domain and client network have been
	// answered with tempfail so far; zero for the first time.
	Deferred time.Duration `json:"deferred_ns,omitempty"`
}

// ReportTraffic is how a message is known to be a report about mail, or an answer
// to one.
type ReportTraffic string

// The kinds. A message of several kinds has the first.
const (
	TrafficNullPath ReportTraffic = "null_path"   // MAIL FROM:<>, as notifications of delivery have
	TrafficOwn      ReportTraffic = "own_address" // from or to the addresses of our own reports
	TrafficReport   ReportTraffic = "report"      // by its header: message.Claims
)

// Ordinary reports whether the message is known not to be report traffic. It is
// false for messages of which the fact was not recorded.
func (f *Facts) Ordinary() bool {
	return f.ReportTraffic == "" && f.Version >= trafficVersion && !f.NullPath
}

// trafficVersion is the first version of facts with ReportTraffic.
const trafficVersion = 2

// FactsVersion is the version of facts that this program records: 1 came
// with list_headers, list_id, auto_submitted, tls, seed, and with the history
// of each author domain that does not pass; 2 with report_traffic.
const FactsVersion = 2

// spfPass reports whether SPF passed for a domain of the patterns.
func (f *Facts) spfPass(patterns []pattern.Domain) bool {
	return f.SPF.Result == "pass" && oneHolds(patterns, f.SPF.Domain, "")
}

// dkimPass reports whether a signature of a domain of the patterns passed.
func (f *Facts) dkimPass(patterns []pattern.Domain) bool {
	return slices.ContainsFunc(f.DKIM, func(s DKIM) bool { return s.passes() && oneHolds(patterns, s.Domain, "") })
}

// passes: signatures with a key in test mode count like none (RFC 6376,
// Section 3.6.1).
func (s *DKIM) passes() bool { return s.Result == "pass" && !s.Testing }

// authenticated reports whether SPF or a signature passes, for whatever domain.
func (f *Facts) authenticated() bool {
	return f.SPF.Result == passWord || slices.ContainsFunc(f.DKIM, func(s DKIM) bool { return s.passes() })
}

// unchecked reports whether SPF or a signature could not be checked: what did not
// pass may pass another time.
func (f *Facts) unchecked() bool {
	return f.UnknownClient != ClientKnown || f.SPF.Result == tempWord || slices.ContainsFunc(f.DKIM, func(s DKIM) bool { return s.Result == tempWord })
}

// arcPass reports whether the chain passes, the patterns hold every sealer, and
// one of them recorded a pass for an author domain: see sealedPass.
func (f *Facts) arcPass(patterns []pattern.Domain, a *Author) bool {
	if f.ARC.Result != "pass" || a.Domain == "" {
		return false
	}
	for i := range f.ARC.Sealers {
		if !oneHolds(patterns, f.ARC.Sealers[i].Domain, "") {
			return false
		}
	}
	return slices.ContainsFunc(f.ARC.Sealers, a.passedAt)
}

// bodyChanged reports whether a signature that is aligned with a verifies but
// for the body. Of what age it is does not count, as it does for evidence.
func (f *Facts) bodyChanged(a *Author) bool {
	return slices.ContainsFunc(f.DKIM, func(s DKIM) bool { return s.Result == "fail" && s.HeaderOK && a.signed(s.Domain) })
}

// signed reports whether a signature of domain is aligned with a. Signers are
// known where they are evidence; elsewhere names are compared.
func (a *Author) signed(domain string) bool {
	if EvidenceMatters(a.Verdict) {
		return slices.Contains(a.Signers, domain)
	}
	return a.Domain != "" && (slices.Contains(a.Signers, domain) || a.aligned(Recorded{Method: "dkim", Domain: domain}))
}

// SPF is the result for one identity (RFC 7208). Result is a word of RFC
// 8601, empty when the identity was not checked.
type SPF struct {
	Result string `json:"result,omitempty"`
	Domain string `json:"domain,omitempty"`
	Term   string `json:"term,omitempty"` // of the record: what matched or is at fault, as its owner wrote it
	Why    string `json:"why,omitempty"`
}

// DKIM is the result of one signature (RFC 6376).
type DKIM struct {
	Result    string `json:"result"`
	Domain    string `json:"d,omitempty"`
	Selector  string `json:"s,omitempty"`
	Algorithm string `json:"a,omitempty"`
	B         string `json:"b,omitempty"` // the first characters of b=, RFC 6008
	Canon     string `json:"c,omitempty"` // of header and body, as "relaxed/simple"
	KeyBits   int    `json:"bits,omitempty"`
	Testing   bool   `json:"testing,omitempty"` // key with t=y
	Why       string `json:"why,omitempty"`

	// HeaderOK says that the header verified, From in it, whatever became of
	// the body; SignedAt is t=, zero without it.
	HeaderOK bool      `json:"header_ok,omitempty"`
	SignedAt time.Time `json:"t,omitzero"`

	// CutByMTA says that a signed header field may have been cut by the MTA, and
	// that nothing else keeps the signature from being good.
	CutByMTA bool `json:"cut_by_mta,omitempty"`
}

// ARC is the chain of a message (RFC 8617). Result is empty without one. What
// it says is worth no more than its sealers.
type ARC struct {
	Result     string   `json:"result,omitempty"` // pass, fail, or not_checked: nothing is decided by it
	Why        string   `json:"why,omitempty"`
	OldestPass int      `json:"oldest_pass,omitempty"` // instance; 0 with a pass: the first
	Sealers    []Sealer `json:"sealers,omitempty"`     // oldest first
}

// Sealer is one hop of a chain.
type Sealer struct {
	Domain   string     `json:"d"`
	Selector string     `json:"s"`
	Recorded []Recorded `json:"recorded,omitempty"` // as far as it concerns an author domain
}

// Recorded is a result that a hop wrote down when it received the message.
type Recorded struct {
	Method string `json:"method"` // spf, dkim or dmarc
	Result string `json:"result"`
	Domain string `json:"domain"` // that was checked, lower-case A-labels
}

// Author is one author domain with what was found and concluded for it.
type Author struct {
	Domain       string        `json:"domain"`
	Org          string        `json:"org,omitempty"`
	PolicyDomain string        `json:"policy_domain,omitempty"`
	Source       string        `json:"source"`            // author, org, psd or none
	Record       string        `json:"record,omitempty"`  // its policy tags as understood, printed again: dmarc.Record.PolicyTags
	Defects      []string      `json:"defects,omitempty"` // of the record and the names asked, by their short names
	Verdict      dmarc.Verdict `json:"verdict"`
	// Draw is this message's number for pct, 0 to 99, from a keyed hash: the
	// same for a retry, and not computable by the sender. The message is
	// sampled when Draw < pct.
	Draw uint8 `json:"draw"`

	// Differs is in what another method of discovery came to something else:
	// org, record, verdict, disposition; or unready. Empty when both agree, and
	// when there is only one. Nothing is decided by it.
	Differs []string `json:"differs,omitempty"`

	// What only evidence needs (see Evidence), for a verdict that EvidenceMatters
	// to. Zero values are no evidence.
	Signers   []string  `json:"signers,omitempty"` // d= of the signatures that are aligned with Domain, passed or not
	SendsMail SendsMail `json:"sends_mail,omitzero"`
	History   History   `json:"history,omitzero"`
}

// PassBy says by which mechanisms the author domain passes: spf, dkim or both; ""
// when it does not pass.
func (a *Author) PassBy() string {
	if a.Verdict.Status != dmarc.Pass {
		return ""
	}
	return a.passBy()
}

// passBy is PassBy of an author domain that passes in any way, see resultOf.
func (a *Author) passBy() string {
	switch v := a.Verdict; {
	case v.AlignedSPF && v.AlignedDKIM:
		return "both"
	case v.AlignedSPF:
		return "spf"
	}
	return "dkim"
}

// MarshalJSON adds pass_by, which follows from the verdict.
func (a Author) MarshalJSON() ([]byte, error) {
	type plain Author
	return json.Marshal(struct {
		plain
		PassBy string `json:"pass_by,omitempty"`
	}{plain(a), a.PassBy()})
}

// cutByMTA reports whether an aligned signature fails for nothing but a header
// field of which the MTA may have handed over a part.
func (a *Author) cutByMTA(f Facts) bool {
	return slices.ContainsFunc(f.DKIM, func(s DKIM) bool { return s.CutByMTA && s.Result == "fail" && a.signed(s.Domain) })
}

// Published is the word for the policy that the owner of the domain publishes:
// that of p, sp or np, or "absent" where there is no record.
func (a *Author) Published() string {
	if a.PolicyDomain == "" {
		return "absent"
	}
	return a.Verdict.Policy.String()
}

// EvidenceMatters reports whether some profile could decide by Author.Signers,
// Author.Standing and Author.History of an author domain with this verdict.
func EvidenceMatters(v dmarc.Verdict) bool {
	return v.Status == dmarc.Fail && v.Policy == dmarc.Reject
}

// SendsMail is what an author domain tells in the DNS about sending mail.
type SendsMail struct {
	Queried bool   `json:"queried"` // and answered; otherwise the rest says nothing
	NoMail  NoMail `json:"no_mail,omitempty"`
	Missing bool   `json:"missing,omitempty"` // NXDOMAIN of the name itself
}

// NoMail is how a domain says that it sends no mail. Empty means that it does
// not say so.
type NoMail string

// The ways to say it.
const (
	NoMailSPF NoMail = "spf"     // its SPF record is v=spf1 -all and no more
	NoMailMX  NoMail = "null_mx" // RFC 7505
)

// History is what this host has seen of an organization in the HistoryDays
// before a message. Only messages that were proved to be the organization's
// count: those of others in its name are no history of it, and a flood of them
// must not change what is known.
type History struct {
	Messages int `json:"messages"`  // with an aligned pass of SPF or DKIM
	DKIMPass int `json:"dkim_pass"` // of these, with an aligned pass of DKIM
}
