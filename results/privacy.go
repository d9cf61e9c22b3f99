package results

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
	"time"

	"dmarcgate/auth/dmarc"
	"dmarcgate/policy"
	"dmarcgate/scope"
)

// Privacy says what of a message is not kept, or not for long. The zero value
// keeps everything that a Row has.
type Privacy struct {
	// ShortenIPAfter is the age from which a row has the network of the client
	// (/24 or /48) instead of its address, and neither the client's name nor
	// names that are address literals; 0 never. What is older when it is added
	// is shortened at once.
	ShortenIPAfter time.Duration
	// DropRecipients leaves the recipient domains out. Rules that match on them
	// cannot be tried on such rows.
	DropRecipients bool
	// QueueIDKey is the key under which queue ids are hashed (HashQueueID); nil
	// keeps them as they are. Who looks for a message asks ByQueueID for the
	// hash, and for the id itself when there are rows from before.
	QueueIDKey []byte
}

// hashedID begins a queue id that was hashed; no MTA's id does.
const hashedID = "#"

// HashQueueID returns what is stored of a queue id under Privacy.QueueIDKey: a
// mark and 128 bits of HMAC-SHA-256. Without a key, and for a message without
// an id, that is the id itself.
func HashQueueID(key []byte, qid string) string {
	if len(key) == 0 || qid == "" {
		return qid
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(qid))
	return hashedID + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// Conceal takes out of a row what is not to be stored. It changes no list that the
// row shares with others.
func (p *Privacy) Conceal(r *Row, now func() time.Time) {
	r.Clean()
	if p.DropRecipients && len(r.Facts.Recipients) > 0 {
		r.Facts.Recipients = nil
		r.Facts.Missing |= policy.MissingRecipients
	}
	if len(p.QueueIDKey) > 0 {
		r.Facts.QueueID = HashQueueID(p.QueueIDKey, r.Facts.QueueID)
	}
	if p.ShortenIPAfter > 0 && now().Sub(r.Facts.Time) > p.ShortenIPAfter {
		r.Shorten()
	}
}

// Clean takes out of a row what may hold a local part: see Scrub.
// Of records, nothing but policy tags stays, whoever has made the row. It reports
// whether there was something to take out.
func (r *Row) Clean() bool {
	changed, own := Scrub(&r.Facts), false
	for i := range r.Facts.Authors {
		record := r.Facts.Authors[i].Record
		tags := cleanTags(record)
		if tags == record {
			continue
		}
		if !own {
			r.Facts.Authors, own = slices.Clone(r.Facts.Authors), true
		}
		r.Facts.Authors[i].Record = tags
	}
	return changed || own
}

// CleanTags is dmarc.CleanPolicyTags, which costs nothing for the records that
// most domains have.
func cleanTags(record string) string {
	switch record {
	case "", "v=DMARC1; p=none", "v=DMARC1; p=quarantine", "v=DMARC1; p=reject":
		return record
	}
	return dmarc.CleanPolicyTags(record)
}

// Shorten makes the network of what tells the client's address. Names of the
// client may hold its address in any form, so the name goes; what it said in
// HELO and MAIL FROM is shortened when it is an address literal. A client that
// is the first address of its network is marked as shortened, too: without that,
// a row would tell of it that it was just this one.
func (r *Row) Shorten() {
	if r.Facts.Client.IsValid() {
		r.Facts.Client = ShortAddr(r.Facts.Client)
		r.Facts.Missing |= policy.MissingClient
	}
	if r.Facts.ClientName != "" {
		r.Facts.ClientName = ""
		r.Facts.Missing |= policy.MissingClientName
	}
	for _, name := range []*string{&r.Facts.Helo, &r.Facts.HELO.Domain, &r.Facts.MailFrom, &r.Facts.SPF.Domain} {
		*name = shortLiteral(*name)
	}
}

// InferShortened marks what may have been shortened before rows said so: a
// client that is the first address of its network, and has no name.
func (r *Row) InferShortened() {
	f := &r.Facts
	if f.Version == 0 && f.Client.IsValid() && f.ClientName == "" && f.Client == ShortAddr(f.Client) {
		f.Missing |= policy.MissingClient | policy.MissingClientName
	}
}

// ShortAddr returns the first address of the network, /24 or /48.
func ShortAddr(a netip.Addr) netip.Addr {
	if !a.IsValid() {
		return a
	}
	short := scope.ClientNetwork(a).Addr()
	if a.Is4In6() {
		return netip.AddrFrom16(short.As16())
	}
	return short
}

// shortLiteral shortens an address literal (RFC 5321, Section 4.1.3), also one
// without its brackets, and leaves any other name as it is.
func shortLiteral(name string) string {
	inner, bracketed := strings.CutPrefix(name, "[")
	inner = strings.TrimSuffix(inner, "]")
	tag := ""
	if len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:") {
		tag, inner = inner[:5], inner[5:]
	}
	a, err := netip.ParseAddr(inner)
	switch {
	case err != nil:
		return name
	case bracketed:
		return "[" + tag + ShortAddr(a).String() + "]"
	}
	return tag + ShortAddr(a).String()
}
