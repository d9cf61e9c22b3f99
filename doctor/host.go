package doctor

import (
	"net/netip"
	"time"

	"dmarcgate/admin"
	"dmarcgate/config"
	"dmarcgate/mta/postfix"
	"dmarcgate/report/identity"
	"dmarcgate/site"
)

// Host is what is known of the host. The zero value of a fact is "not known", or
// that nothing is wrong.
type Host struct {
	Now     time.Time
	Program string         // version of this program
	Path    string         // of the configuration file
	Config  *config.Config // as far as the file can be read; never nil
	Changed time.Time      // when the newest file of the configuration and its rules was written
	Checked []site.Remark  // what check-config finds

	Daemon  *admin.Status // nil when it does not answer
	Silence string        // why the daemon does not answer; "" when Daemon is set or nobody may ask

	Postfix []*postfix.Instance // the primary one first; none where Postfix is not installed
	Sockets map[string]Socket   // by path: those of listeners, and the control socket
	Filters []Filter            // other milters of the host, by their configuration files

	Addresses []netip.Addr // of this host's interfaces
	Resolvers []Resolver   // name servers as they answer now, in their order
	List      SuffixList   // zero when no public suffix list is used

	StoreClosed string             // why the daemon's user cannot write to the store; "" when it can
	StoreUsers  []string           // processes beside the daemon that have the store open to write
	Mail        []Sample           // the newest messages, newest first
	Reports     []identity.Finding // about the identity of aggregate reports; none where [reports] has no email

	Unseen []string // what could not be found out, and why
}

// Socket is the file at the path of a socket.
type Socket struct {
	Missing bool   `json:"missing"` // there is no socket
	Closed  string `json:"closed"`  // the place on the way that keeps the MTA's user out; "" when that user can connect
}

// Resolver is how a name server answers a query of its own.
type Resolver struct {
	Address   string `json:"address"` // ip:port
	Trusted   bool   `json:"trusted"` // its AD bit is believed
	Answers   bool   `json:"answers"`
	Validates bool   `json:"validates"` // it has validated its answer (AD)
}

// SuffixList is the public suffix list in use.
type SuffixList struct {
	Path string    `json:"path"` // "" is the list built in
	Date time.Time `json:"date"` // of the list
}

// Sample is where a stored message came from.
type Sample struct {
	Time    time.Time  `json:"time"`
	Client  netip.Addr `json:"client"`  // who connected
	Relayed bool       `json:"relayed"` // the client behind it was read from a Received field
	Skipped bool       `json:"skipped"` // not evaluated, because of the client
}
