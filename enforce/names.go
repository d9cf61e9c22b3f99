package enforce

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dmarcgate/auth/authres"
	"dmarcgate/milter"
)

const (
	// MaxNames is how many names of MTAs a listener takes: our limit. A site has
	// one or a few; who can open the socket could give any number.
	MaxNames = 16
	// NameAge is how long a name is kept that no MTA gives any more: our limit,
	// longer than any site is without mail.
	NameAge = 30 * 24 * time.Hour
)

// MTAName is what an MTA calls itself (macro j) on a listener.
type MTAName struct {
	Listener string    `json:"listener"`
	Name     string    `json:"name"` // in lower case
	Seen     time.Time `json:"seen"` // when it was last given, to the day
}

// Names are the names that MTAs have given on all listeners. Results are
// written under them, and whoever reads results believes them, so what arrives
// under any of them is removed. The zero value knows none.
type Names struct {
	// Changed is called after a name was added or its day has changed; may be
	// nil, must not wait.
	Changed func()

	mu   sync.Mutex
	list []MTAName
	told map[told]bool
	ids  atomic.Pointer[[]string]
}

// told is something that the log says once.
type told struct{ listener, what string }

// NewNames returns the names of an earlier run, as far as they are not too old.
func NewNames(known []MTAName, now time.Time) *Names {
	n := &Names{}
	for _, k := range known {
		if k.usable() && now.Sub(k.Seen) <= NameAge && n.count(k.Listener) < MaxNames && n.index(k.Listener, k.Name) < 0 {
			n.list = append(n.list, k)
		}
	}
	n.publish()
	return n
}

func (k MTAName) usable() bool { return authres.IsHostID(k.Name) && k.Name == strings.ToLower(k.Name) }

// Take notes that an MTA gives a name. It reports whether the name is taken:
// not when the listener has MaxNames others.
func (n *Names) Take(listener, name string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	day := now.UTC().Truncate(24 * time.Hour)
	i := n.index(listener, name)
	switch {
	case i >= 0 && n.list[i].Seen.Equal(day):
		return true
	case i >= 0:
		n.list[i].Seen = day
	case n.count(listener) >= MaxNames:
		return false
	default:
		n.list = append(n.list, MTAName{listener, name, day})
		n.publish()
	}
	if n.Changed != nil {
		n.Changed()
	}
	return true
}

func (n *Names) index(listener, name string) int {
	return slices.IndexFunc(n.list, func(k MTAName) bool { return k.Listener == listener && k.Name == name })
}

func (n *Names) count(listener string) int {
	count := 0
	for _, k := range n.list {
		if k.Listener == listener {
			count++
		}
	}
	return count
}

// publish makes the list that messages read without a lock.
func (n *Names) publish() {
	var ids []string
	for _, k := range n.list {
		if !slices.Contains(ids, k.Name) {
			ids = append(ids, k.Name)
		}
	}
	n.ids.Store(&ids)
}

// IDs returns each name once.
func (n *Names) IDs() []string {
	if n == nil || n.ids.Load() == nil {
		return nil
	}
	return *n.ids.Load()
}

// All returns the names, by listener and name.
func (n *Names) All() []MTAName {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := slices.Clone(n.list)
	slices.SortFunc(all, func(a, b MTAName) int {
		return cmp.Or(cmp.Compare(a.Listener, b.Listener), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// Last returns the name that was last given on a listener, or "": of several
// of one day, the first by name.
func (n *Names) Last(listener string) string {
	var last MTAName
	for _, k := range n.All() {
		if k.Listener == listener && k.Seen.After(last.Seen) {
			last = k
		}
	}
	return last.Name
}

// once reports whether something is to be said for the first time. What is told
// of is names that were taken and a few reasons, so there is a bound.
func (n *Names) once(listener, what string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.told[told{listener, what}] {
		return false
	}
	if n.told == nil {
		n.told = make(map[told]bool)
	}
	n.told[told{listener, what}] = true
	return true
}

// Why a name is not taken.
const (
	noName        = "it gives none (macro j)"
	noHostName    = "it is not a full host name"
	untrustedName = "it comes over TCP, and trust_mta_name is not set"
	tooManyNames  = "the listener has as many names as it takes"
)

// named returns the settings with our name for a message: the one of the
// configuration, else that of the MTA, else the host name. Among the ids that
// only we may write are the names of the MTAs of all listeners.
func (g *Gate) named(s Settings, env *milter.Envelope) Settings {
	name, why := g.mtaName(s, env.MTAName)
	if s.AuthservID == "" {
		s.AuthservID = cmp.Or(name, s.HostName)
		if name == "" {
			g.warnOfHostName(s, env.MTAName, why)
		}
	}
	s.AuthservIDs = slices.Concat(s.AuthservIDs, g.Names.IDs())
	return s
}

// mtaName returns what the MTA calls itself, in lower case, or why that is not
// taken.
func (g *Gate) mtaName(s Settings, given string) (name, why string) {
	name = strings.ToLower(given)
	switch {
	case given == "":
		return "", noName
	case !g.Local && !s.TrustMTAName:
		return "", untrustedName
	case !authres.IsHostID(name):
		return "", noHostName
	case g.Names == nil || !g.Names.Take(g.Listener, name, g.Now()):
		return "", tooManyNames
	}
	if g.Names.once(g.Listener, name) {
		g.Log.Info("new MTA name", "listener", g.Listener, "name", name, "authserv_id", cmp.Or(s.AuthservID, name))
	}
	return name, ""
}

func (g *Gate) warnOfHostName(s Settings, given, why string) {
	if g.Names != nil && g.Names.once(g.Listener, why) {
		g.Log.Warn("MTA name not accepted; using the host name in Authentication-Results; set authserv_id",
			"listener", g.Listener, "authserv_id", s.AuthservID, "mta_name", given[:min(len(given), authres.MaxID)], "why", why)
	}
}
