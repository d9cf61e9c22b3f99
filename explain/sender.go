package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dmarcgate/auth/dmarc"
	"dmarcgate/auth/spf"
	"dmarcgate/policy"
	"dmarcgate/scope"
	"dmarcgate/term"
)

// Limits of what is written to a sender.
const (
	senderColumns = 76
	maxAdvice     = 4 // for one author domain; a message may bring many signatures
	maxSenderText = 1000
)

// letterText is plain text for somebody else: what he reads of mail and DNS is
// printable ASCII, and nothing in it is of this site.
type letterText struct{ strings.Builder }

// para writes a paragraph, broken between words.
func (t *letterText) para(format string, args ...any) {
	column := 0
	for _, word := range strings.Fields(term.Bounded(fmt.Sprintf(format, args...), 4*maxSenderText)) {
		switch {
		case column == 0:
		case column+1+len(word) > senderColumns:
			t.WriteString("\n")
			column = 0
		default:
			t.WriteString(" ")
			column++
		}
		t.WriteString(word)
		column += len(word)
	}
	t.WriteString("\n\n")
}

// lines writes lines that are to be copied, as they are.
func (t *letterText) lines(lines ...string) {
	for _, l := range lines {
		t.WriteString("    " + term.Bounded(l, 2*maxSenderText) + "\n")
	}
	t.WriteString("\n")
}

// senderText says what the sender of a message has to fix. It names no rule,
// no setting and no path of this site.
func (x *Explanation) senderText() string {
	t, f := &letterText{}, x.Facts
	failing := x.failing()
	switch {
	case f.Skip != policy.Evaluated:
		t.para("DMARC was not evaluated for this message. Nothing needs to be fixed.")
	case len(f.Authors) == 0:
		t.para("%s", brokenFrom(f.FromField))
	case len(failing) == 0:
		x.praise(t)
	}
	for _, i := range failing {
		x.tell(t, i)
	}
	for i := range f.Authors {
		x.defects(t, i)
	}
	return strings.TrimRight(t.String(), "\n") + "\n"
}

// brokenFrom is for a From field that names no author domain (RFC 9989, Section
// 5.3.1; RFC 5322, Section 3.6.2).
func brokenFrom(f policy.From) string {
	const want = " Write one From field with one address, such as From: Name <user@example.com> (RFC 5322, Section 3.6.2)."
	switch f {
	case policy.FromTruncated:
		return "The header of your message is longer than what we read, so DMARC cannot say whose it is. Send it with fewer and shorter header fields."
	case policy.FromMissing:
		return "Your message has no From field, so DMARC cannot say whose it is." + want
	case policy.FromSeveralFields:
		return "Your message has more than one From field, so DMARC cannot say whose it is." + want
	case policy.FromEmptyGroup:
		return "The From field of your message is a group without an address." + want
	case policy.FromSeveralDomains:
		return "The From field of your message has addresses of too many domains." + want
	}
	return "The From field of your message cannot be read as an address." + want
}

func (x *Explanation) praise(t *letterText) {
	for _, a := range x.Facts.Authors {
		if a.Verdict.Status == dmarc.Pass {
			t.para("Your message%s passed DMARC for %s. Nothing needs to be fixed.", x.from(), a.Domain)
			continue
		}
		t.para("%s publishes no DMARC record that applies, so nothing protects it from being forged. A first record, which only asks for reports:", a.Domain)
		t.lines(term.ZoneTXT("_dmarc."+a.Domain, "v=DMARC1; p=none; rua=mailto:dmarc-reports@"+a.Domain))
	}
}

func (x *Explanation) from() string {
	if !x.Facts.Client.IsValid() {
		return ""
	}
	return " from " + x.Facts.Client.String()
}

// tell writes to the sender about one author domain.
func (x *Explanation) tell(t *letterText, i int) {
	a := x.Facts.Authors[i]
	switch a.Verdict.Status {
	case dmarc.PermError:
		t.para("Your message%s could not be evaluated by DMARC for %s: %s.", x.from(), a.Domain, a.Verdict.Why)
		return
	case dmarc.TempError:
		if a.Verdict.Cause == dmarc.CausePressure {
			t.para("Your message%s could not be evaluated by DMARC for %s, because our DNS was overloaded or down: %s. Nothing needs to be fixed; send it again.", x.from(), a.Domain, a.Verdict.Why)
			return
		}
		if a.Verdict.Cause == dmarc.CauseClient {
			t.para("Your message could not be evaluated by DMARC for %s: no DKIM signature of that domain passed, and SPF was not checked, because this site does not know which host sent the message. The fault is at this site. Mail that is signed with DKIM and d=%s passes here all the same.", a.Domain, a.Domain)
			return
		}
		t.para("Your message%s could not be evaluated by DMARC for %s, because DNS gave no answer: %s. Have the name servers of the domain checked.", x.from(), a.Domain, a.Verdict.Why)
		return
	}
	t.para("Your message%s failed DMARC for %s, the domain in its From field: %s.", x.from(), a.Domain, a.Verdict.Why)
	t.lines(x.found(i)...)
	list := x.advice(i)
	for n, ad := range list[:min(len(list), maxAdvice)] {
		start := "Or "
		if n == 0 {
			start = "Nearest to passing was " + ad.mechanism + ": "
		}
		t.para("%s%s", start, ad.text)
		if len(ad.records) > 0 {
			t.lines(ad.records...)
		}
	}
	t.para("One of these is enough. If you did not send this message, somebody else did in your name, and DMARC did what it is for.")
}

// found lists what was checked, one line for each.
func (x *Explanation) found(i int) []string {
	f, a := x.Facts, x.Facts.Authors[i]
	identity := "MAIL FROM"
	if f.NullPath {
		identity = "HELO"
	}
	out := []string{fmt.Sprintf("SPF    %s for %s (%s)", f.SPF.Result, term.OrNone(f.SPF.Domain), identity)}
	for _, s := range f.DKIM[:min(len(f.DKIM), maxAdvice)] {
		out = append(out, fmt.Sprintf("DKIM   %s for d=%s, s=%s: %s", s.Result, term.OrNone(s.Domain), term.OrNone(s.Selector), s.Why))
	}
	if len(f.DKIM) == 0 {
		out = append(out, "DKIM   no signature")
	}
	return append(out, fmt.Sprintf("DMARC  %s, published at %s", a.Record, a.PolicyDomain))
}

// advice is one change that would have let a message pass.
type advice struct {
	near      int // to passing; the highest is told first
	mechanism string
	text      string
	records   []string // of a zone file
}

// How near to passing is what went wrong: a word in a record, a key, a setting
// of who signs, what is done behind the signature; then the address that sends,
// which forwarding changes; then what was done for other domains.
const (
	nearMode = 100 - 10*iota
	nearKey
	nearSigner
	nearBody
	nearSPF
	nearUnalignedDKIM
	nearUnalignedSPF
	nearNothing
)

func (x *Explanation) advice(i int) []advice {
	list := x.adviceOnSPF(i)
	signs := false
	for _, s := range x.Facts.DKIM {
		ad := x.adviceOnDKIM(i, s)
		signs = signs || ad.near > 0
		if ad.near > 0 && !slices.ContainsFunc(list, func(o advice) bool { return o.text == ad.text }) {
			list = append(list, ad)
		}
	}
	if author := x.Facts.Authors[i].Domain; !signs {
		list = append(list, advice{near: nearNothing, mechanism: "neither, for the message has no DKIM signature of yours", text: fmt.Sprintf(
			"sign your mail with DKIM and d=%s, which also survives forwarding. The key is published as:", author), records: []string{keyRecord("selector", author)}})
	}
	slices.SortStableFunc(list, func(a, b advice) int { return cmp.Compare(b.near, a.near) })
	return list
}

func keyRecord(selector, domain string) string {
	return term.ZoneTXT(selector+"._domainkey."+domain, "v=DKIM1; k=rsa; p=<public key of 2048 bits, base64>")
}

// relation tells how an identifier stands to an author domain.
type relation uint8

const (
	unrelated relation = iota
	related            // of the same organization, and the record wants the author domain itself
	aligned
)

func (x *Explanation) relation(i int, m dmarc.Mechanism, domain string) relation {
	a := x.Facts.Authors[i]
	if domain == "" {
		return unrelated
	}
	if i < len(x.Authors) {
		if slices.ContainsFunc(x.Authors[i].Identifiers, func(id identifier) bool {
			return id.Aligned && id.Mechanism == m.String() && id.Domain == domain
		}) {
			return aligned
		}
	} else if domain == a.Domain {
		return aligned
	}
	if !scope.AtOrBelow(domain, a.Org) {
		return unrelated
	}
	if r, _, err := dmarc.ParseRecord(a.Record); err == nil && (m == dmarc.SPF && r.ASPF == dmarc.Strict || m == dmarc.DKIM && r.ADKIM == dmarc.Strict) {
		return related
	}
	if i < len(x.Authors) {
		return unrelated // the walk said so: a psd tag stands between them
	}
	return aligned
}

func (x *Explanation) adviceOnSPF(i int) []advice {
	f, a := x.Facts, x.Facts.Authors[i]
	domain, passed := f.SPF.Domain, f.SPF.Result == spf.Pass.String()
	with := func(near int, format string, args ...any) []advice {
		return []advice{{near: near, mechanism: "SPF", text: fmt.Sprintf(format, args...)}}
	}
	switch rel := x.relation(i, dmarc.SPF, domain); {
	case domain == "":
		return nil
	case rel == related && passed:
		return with(nearMode, "SPF passed for %s, but the DMARC record of %s wants strict alignment (aspf=s), so that only %s itself counts. Take aspf=s out of the record, or use a MAIL FROM of %s.", domain, a.PolicyDomain, a.Domain, a.Domain)
	case rel == unrelated && passed:
		return with(nearUnalignedSPF, "SPF passed for %s, which is not aligned with %s. Use a MAIL FROM (bounce address) at %s or, unless the record says aspf=s, below its organizational domain, and give that name an SPF record which allows the host that sends.", domain, a.Domain, a.Domain)
	case rel != aligned:
		return nil
	}
	return x.fixSPF(domain)
}

// fixSPF is for a domain that is aligned and did not pass.
func (x *Explanation) fixSPF(domain string) []advice {
	f := x.Facts
	ad := advice{near: nearSPF, mechanism: "SPF"}
	record := ""
	if len(x.SPF) > 0 {
		record = x.SPF[0].Record
	}
	authorized := ipTerm(f.Client)
	switch result := f.SPF.Result; {
	case result == "permerror":
		ad.text = fmt.Sprintf("the SPF record of %s has an error, so that SPF passes for nobody: %s. Fix the record.", domain, f.SPF.Why)
		if f.SPF.Term != "" {
			ad.text += " The error is at: " + f.SPF.Term
		}
	case result == "temperror":
		ad.text = fmt.Sprintf("SPF for %s could not be checked: %s. Have its name servers checked.", domain, f.SPF.Why)
	case result == "none":
		ad.text = fmt.Sprintf("%s has no SPF record. If %s is a host of yours, publish one that allows it:", domain, f.Client)
		ad.records = []string{term.ZoneTXT(domain, "v=spf1 "+authorized+" -all")}
	case record == "v=spf1 -all":
		ad.text = fmt.Sprintf("the SPF record of %s says that nobody sends mail for it. If %s is a host of yours that should, allow it:", domain, f.Client)
		ad.records = []string{"; now", term.ZoneTXT(domain, record), "; new", term.ZoneTXT(domain, withTerm(record, authorized))}
	default:
		ad.text = fmt.Sprintf("the SPF record of %s does not allow %s. If that is a host of yours, add %s to the record. If it is a forwarder, SPF cannot pass there and DKIM is what survives.", domain, f.Client, authorized)
		if record != "" {
			ad.records = []string{"; now", term.ZoneTXT(domain, record), "; new", term.ZoneTXT(domain, withTerm(record, authorized))}
		}
	}
	return []advice{ad}
}

// ipTerm is the term that allows one address (RFC 7208, Section 5.6).
func ipTerm(a netip.Addr) string {
	if a.Is4() {
		return "ip4:" + a.String()
	}
	return "ip6:" + a.WithZone("").String()
}

// withTerm puts a term behind the version of a record, where it is reached
// whatever follows.
func withTerm(record, term string) string {
	version, rest, _ := strings.Cut(record, " ")
	return strings.TrimRight(version+" "+term+" "+strings.TrimLeft(rest, " "), " ")
}

// adviceOnDKIM is about one signature. The zero advice is none.
func (x *Explanation) adviceOnDKIM(i int, s policy.DKIM) advice {
	a := x.Facts.Authors[i]
	ad := advice{mechanism: "DKIM"}
	passed := s.Result == "pass"
	switch rel := x.relation(i, dmarc.DKIM, s.Domain); {
	case rel == related && passed:
		ad.near, ad.text = nearMode, fmt.Sprintf("a signature of %s verified, but the DMARC record of %s wants strict alignment (adkim=s), so that only %s itself counts. Take adkim=s out of the record, or sign with d=%s.", s.Domain, a.PolicyDomain, a.Domain, a.Domain)
	case rel == unrelated && passed:
		ad.near, ad.text = nearUnalignedDKIM, fmt.Sprintf("a signature of %s verified, which is not aligned with %s. Have whoever signs for you sign with d=%s too, with a key published as:", s.Domain, a.Domain, a.Domain)
		ad.records = []string{keyRecord("selector", a.Domain)}
	case rel == aligned && !passed:
		return fixSignature(s)
	}
	return ad
}

// fixes says what to do about a signature of the author domain, by the reason
// that auth/dkim gives. %[1]s is the name of the key.
var fixes = map[string]struct {
	near int
	text string
	key  bool // a record is published anew
}{
	"no key record":                         {nearKey, "there is no key at %[1]s. Publish the public key of the signer there:", true},
	"key record cannot be read":             {nearKey, "the record at %[1]s cannot be read as a key. Publish it anew:", true},
	"key cannot be read":                    {nearKey, "the key at %[1]s cannot be read. Publish the public key of the signer anew:", true},
	"key revoked":                           {nearKey, "the key at %[1]s is revoked (p= is empty), and the signer still uses it. Make a new key under another selector, or publish this one again:", true},
	"key too short":                         {nearKey, "the key at %[1]s is too short to prove anything (RFC 8301 wants at least 1024 bits). Make a key of 2048 bits under a new selector:", true},
	"key too long":                          {nearKey, "the key at %[1]s is longer than receivers have to read (RFC 8301). Make one of 2048 bits under a new selector:", true},
	"signature expired":                     {nearSigner, "the signature had expired (x=) when the message came. Have the signer leave out x=, or allow for days of delay; see that its clock is right.", false},
	"signature made in the future":          {nearSigner, "the signature was made in the future (t=). Set the clock of the signer.", false},
	"SHA-1 is not accepted":                 {nearSigner, "the signature uses SHA-1, which no longer proves anything (RFC 8301). Have the signer use rsa-sha256.", false},
	"l= is not accepted":                    {nearSigner, "the signature has l=, so that anybody can add text to the body (RFC 6376, Section 8.2). Have the signer leave out l=.", false},
	"l= leaves a part of the body unsigned": {nearSigner, "the signature has l=, and text was added to the body behind it (RFC 6376, Section 8.2). Have the signer leave out l=.", false},
	"From is not signed":                    {nearSigner, "the signature does not cover the From field. Have the signer sign it.", false},
	"body hash did not verify":              {nearBody, "something changed the body of the message after it was signed: a gateway, a scanner, a footer, a mailing list or a forwarder. Sign after the last change of your mail; a list can keep the body unchanged, or put its own address into From.", false},
	"signature did not verify":              {nearBody, "the signed header fields were changed after signing, or the key at %[1]s is not the one that signed. Compare the key with the signer's, and sign after the last change of your mail.", false},
	"key lookup failed":                     {nearKey, "the key at %[1]s could not be fetched. Have the name servers of the domain checked.", false},
}

func fixSignature(s policy.DKIM) advice {
	ad := advice{near: nearBody, mechanism: "DKIM"}
	name := s.Selector + "._domainkey." + s.Domain
	m, known := fixes[s.Why]
	if !known {
		ad.text = fmt.Sprintf("your signature of %s (s=%s) could not be used: %s.", s.Domain, s.Selector, s.Why)
		return ad
	}
	ad.near, ad.text = m.near, strings.ReplaceAll(m.text, "%[1]s", name)
	if s.Why == "body hash did not verify" && s.HeaderOK {
		ad.text = "the header is as it was signed, but " + ad.text
	}
	if m.key {
		ad.records = []string{keyRecord(s.Selector, s.Domain)}
	}
	return ad
}

// defects lists what is wrong with the record of an author domain, whatever
// became of the message.
func (x *Explanation) defects(t *letterText, i int) {
	a := x.Facts.Authors[i]
	if len(a.Defects) == 0 {
		return
	}
	t.para("The DMARC record for %s has errors:", a.Domain)
	var lines []string
	for _, kind := range a.Defects {
		lines = append(lines, kind+": "+fixOf(kind))
	}
	t.lines(lines...)
	if i < len(x.Authors) && x.Authors[i].Text != "" {
		t.lines("; now", term.ZoneTXT("_dmarc."+a.PolicyDomain, x.Authors[i].Text))
	}
}

func fixOf(kind string) string {
	for _, k := range dmarc.DefectKinds() {
		if k.String() == kind {
			return dmarc.Defect{Kind: k}.Fix()
		}
	}
	return ""
}
