package casefile

import (
	"reflect"
	"slices"
	"strings"

	"dmarcgate/auth/authres"
	"dmarcgate/config"
	"dmarcgate/config/tomlfile"
	"dmarcgate/message"
	"dmarcgate/site"
	"dmarcgate/term"
)

// caseTables are the tables of the configuration that decide about mail.
var caseTables = []string{"DKIM", "ARC", "Discovery", "TempError", "From", "Conformant", "Header"}

// settings writes what of a configuration matters to a message and is not
// the default.
func settings(cfg *config.Config, m Letter) string {
	doc := map[string]any{}
	if ids := caseIDs(cfg, m); len(ids) > 0 {
		doc["authserv_ids_also"] = ids
	}
	standard := config.Default()
	have, usual := reflect.ValueOf(*cfg), reflect.ValueOf(standard)
	for _, name := range caseTables {
		if t := config.Changed(have.FieldByName(name), usual.FieldByName(name)); len(t) > 0 {
			doc[strings.ToLower(name)] = t
		}
	}
	limits := map[string]any{}
	if n := cfg.Limits.HeaderFields; n != standard.Limits.HeaderFields {
		limits["header_fields"] = n
	}
	if n := cfg.Limits.HeaderBytes; n != standard.Limits.HeaderBytes {
		limits["header_bytes"] = n.String()
	}
	if len(limits) > 0 {
		doc["limits"] = limits
	}
	var relays []map[string]any
	for _, r := range cfg.TrustedRelays {
		relay := map[string]any{"networks": term.Texts(r.Networks), "names": r.Names}
		if len(r.Inner) > 0 {
			relay["inner_networks"] = term.Texts(r.Inner)
		}
		relays = append(relays, relay)
	}
	if len(relays) > 0 {
		doc["trusted_relay"] = relays
	}
	return tomlfile.Write(doc)
}

// caseIDs returns the ids under which fields of a message are removed.
func caseIDs(cfg *config.Config, m Letter) []string {
	var ids []string
	for _, id := range slices.Concat(site.OwnIDs(cfg), site.ReadNames(cfg).IDs()) {
		if id != caseID && !slices.Contains(ids, id) && slices.ContainsFunc(m.Header, func(raw []byte) bool { return claims(message.NewField(raw), id) }) {
			ids = append(ids, id)
		}
	}
	return ids
}

// claims reports whether a field is Authentication-Results under an id.
func claims(f message.Field, id string) bool {
	return strings.EqualFold(f.Name, "Authentication-Results") && authres.Claims(f.Body(), []string{id}) && !authres.Claims(f.Body(), nil)
}
