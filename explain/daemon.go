package explain

import (
	"context"
	"slices"
	"time"

	"dmarcgate/admin"
	"dmarcgate/dnscache"
)

// daemonTimeout is how long the running daemon may take to tell what it has
// cached. Nothing hangs on that.
const daemonTimeout = time.Second

// addDaemon adds to each lookup what the cache of the running daemon holds
// instead. Without a daemon there is nothing to add.
func (x *Explanation) addDaemon(client *admin.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), daemonTimeout)
	defer cancel()
	known := make(map[string][]dnscache.Entry) // by name
	for i, a := range x.Lookups {
		list, queried := known[a.Name]
		if !queried {
			var err error
			if list, err = client.Show(ctx, a.Name); err != nil {
				return
			}
			known[a.Name] = list
		}
		for _, entry := range list {
			if entry.Type == a.Type && a.differs(entry) {
				x.Lookups[i].daemon = &entry
			}
		}
	}
}

// differs reports whether an entry gives the daemon something else to go by.
func (a queried) differs(entry dnscache.Entry) bool {
	if entry.Stale || entry.Failure != "" || a.Err != nil || a.NXDomain != entry.NXDomain {
		return true
	}
	ours, theirs := slices.Sorted(slices.Values(a.Records)), slices.Sorted(slices.Values(entry.Records))
	return !slices.Equal(ours, theirs)
}
