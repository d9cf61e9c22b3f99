package explain

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"dmarcgate/admin"
	"dmarcgate/auth/spf"
	"dmarcgate/config"
	"dmarcgate/dnscache"
	"dmarcgate/enforce"
	"dmarcgate/explain/casefile"
	"dmarcgate/explain/second"
	"dmarcgate/message"
	"dmarcgate/milter"
	"dmarcgate/policy"
	"dmarcgate/policy/sampling"
	"dmarcgate/results"
	"dmarcgate/site"
)

// SomeTLS is the version of TLS that a client speaks of which only that is known.
const SomeTLS = "TLSv1.3"

// Letter is a message with its envelope: the fields of the header as they were
// signed, and the body in CRLF.
type Letter = casefile.Letter

// maxMessage is the largest message file that is read.
const maxMessage = 256 << 20

// ReadFile reads a message file, - for standard input, as sent under an envelope.
func ReadFile(path string, env *milter.Envelope) (Letter, error) {
	f := os.Stdin
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return Letter{}, err
		}
		defer f.Close()
	}
	text, err := io.ReadAll(io.LimitReader(f, maxMessage+1))
	if err == nil && len(text) > maxMessage {
		err = fmt.Errorf("%s has more than %d MiB", path, maxMessage>>20)
	}
	if err != nil {
		return Letter{}, err
	}
	header, body := message.Split(text)
	return Letter{Env: env, Header: header, Body: body}, nil
}

// Explanation is what became of a message, and what was looked up for it.
type Explanation struct {
	Profile   string          `json:"profile"`
	Secret    bool            `json:"site_secret"` // false: draws are not those of the daemon
	Facts     policy.Facts    `json:"facts"`
	Decision  policy.Decision `json:"decision"`
	Reply     string          `json:"reply"`
	Edits     []string        `json:"edits"`
	Lookups   []queried       `json:"lookups"`                   // in the order of their answers
	SPF       []spfCheck      `json:"spf_checks,omitempty"`      // MAIL FROM, then HELO
	Authors   []authorPath    `json:"authors,omitempty"`         // for each of Facts.Authors
	Owner     string          `json:"spf_explanation,omitempty"` // what the owner of the MAIL FROM domain says of a fail
	Second    *secondOpinion  `json:"second_opinion,omitempty"`
	ForSender string          `json:"for_sender,omitempty"`
	Bundle    string          `json:"bundle,omitempty"`

	NotTold []notTold     `json:"not_told,omitempty"` // of a message of a file
	Limits  []metLimit    `json:"limits,omitempty"`   // the same
	Rule    *policy.Told  `json:"rule,omitempty"`     // with --rule
	State   string        `json:"state,omitempty"`    // of a message of the store
	Again   *decidedAgain `json:"decided_again,omitempty"`

	wanted string // --rule, of a message of the store
	stored bool   // Facts and Decision are those of the store, and nothing was looked up

	unruled bool // the rules cannot be read, so that nothing is decided again
}

// secondOpinion is what other implementations say, or why they say nothing.
type secondOpinion struct {
	Opinions []second.Opinion `json:"opinions,omitempty"`
	Error    string           `json:"error,omitempty"`
}

// Options are what explain is queried for, and what it was told of a message.
type Options struct {
	// Whether the letter says what only the MTA knows. Of what was not told, the
	// explanation says whether the decision depends on it.
	ClientName, TLS, Auth, Rcpt bool

	Second bool          // ask other implementations of SPF and DKIM, too
	Rule   string        // id of a rule that is tried on the message; "" for none
	Bundle bool          // make a case file
	Redact bool          // take out of it what is private
	Daemon *admin.Client // is queried what its cache has of the names; may be nil
}

// Message explains what becomes of a message with the settings, rules and DNS of
// in on a listener. It sets the name of the MTA in the envelope. A rule that is not
// there is an error of the command line.
func Message(in site.Site, l config.Listener, m Letter, o Options) (*Explanation, error) {
	if err := knownRule(in, o.Rule); err != nil {
		return nil, err
	}
	x, err := explain(in, l, m, o.Second)
	if err != nil {
		return nil, err
	}
	x.Limits = limitsMet(in.Config, m, x.Facts)
	x.NotTold = o.notTold(in.Policy(l), x)
	x.tellRule(in.Policy(l), o.Rule)
	if o.Daemon != nil {
		x.addDaemon(o.Daemon)
	}
	if o.Bundle {
		if x.Bundle, err = bundle(in, l, m, x, o.Redact); err != nil {
			return nil, fmt.Errorf("--bundle: %w", err)
		}
	}
	return x, nil
}

// explain takes a message along the path of the daemon. What the path leaves
// behind is not all that it knew: the steps of SPF and of the tree walks are
// taken once more, with the same answers.
func explain(in site.Site, l config.Listener, m Letter, others bool) (*Explanation, error) {
	dns, err := site.NewResolver(in.Config, nil)
	if err != nil {
		return nil, err
	}
	defer dns.Close()
	secret, err := os.ReadFile(in.Config.Sampling.SecretFile)
	known := err == nil && len(secret) >= sampling.MinSecret
	log := &dnsLog{}
	names := site.ReadNames(in.Config)
	m.Env.MTAName = names.Last(l.Name)
	x := Passage(l, site.MilterLimits(in.Config), in.Snapshot(l, sampling.NewSampler(secret), site.Traced(dns, log.note)), m, names)
	x.Secret = known
	x.Lookups = slices.Clone(log.list)
	again := &playback{log: log, dns: dns}
	x.SPF = again.spf(m.Env, x.Facts)
	x.Authors = again.authors(in, x.Facts)
	x.Owner = ownerSays(dns, m.Env, x.Facts)
	if others && x.Facts.Skip == policy.Evaluated {
		x.Second = &secondOpinion{}
		if x.Second.Opinions, err = second.Opinions(dns, m.Env, x.Facts, m.Header, m.Body); err != nil {
			x.Second.Error = err.Error()
		}
	}
	return x, nil
}

// Passage takes a message along the path of the daemon, through the same limits,
// with a recorder that only remembers. names are those that MTAs gave the daemon.
func Passage(l config.Listener, limits milter.Limits, now *enforce.Snapshot, m Letter, names *enforce.Names) *Explanation {
	kept := &keeper{}
	gate := &enforce.Gate{
		Listener: l.Name, Store: kept, Deferrals: &enforce.Deferrals{}, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Names: names, Local: true, // what the daemon took
	}
	gate.Snapshot.Store(now)
	run := gate.Start(context.Background(), m.Env, limits.Take(gate, m.Env, m.Header))
	_, _ = run.Write(m.Body) // it only says when it has had enough
	answer := run.Finish()
	x := &Explanation{Profile: l.Profile.String(), Facts: kept.row.Facts, Decision: kept.row.Decision, Reply: answer.Reply.String()}
	for _, e := range answer.Edits {
		x.Edits = append(x.Edits, e.String())
	}
	return x
}

// ownerSays fetches the explanation of an SPF fail (RFC 7208, Section 6.2). It
// may hold the local part of the sender, so it goes no further than here.
func ownerSays(dns *dnscache.Resolver, env *milter.Envelope, f policy.Facts) string {
	if f.SPF.Result != spf.Fail.String() {
		return ""
	}
	q := mailFromQuery(env, f)
	q.Explain = true
	return spf.Check(context.Background(), dns.View(dnscache.SPF), q).Explanation
}

// mailFromQuery is the check of MAIL FROM; for the null path that of HELO.
func mailFromQuery(env *milter.Envelope, f policy.Facts) spf.Query {
	q := spf.Query{IP: f.Client, Domain: f.SPF.Domain, Local: "postmaster", Helo: f.Helo}
	if f.NullPath {
		q.Identity = spf.Helo
	} else if at := strings.LastIndexByte(env.MailFrom, '@'); at > 0 {
		q.Local = env.MailFrom[:at]
	}
	return q
}

// keeper is a store of one row.
type keeper struct{ row results.Row }

func (k *keeper) Add(r results.Row) *results.Receipt {
	k.row = r
	return &results.Receipt{Outcome: results.Written}
}

// History knows nothing: what was seen of a sender is in the memory of the
// daemon.
func (k *keeper) History(string) policy.History { return policy.History{} }

func (k *keeper) MarkUnanswered(*results.Receipt) {}
