package config

import (
	"fmt"
	"strings"
	"testing"
)

// A word that a key may have, and that its type does not know, would be the zero
// value in silence.
func TestEveryWordOfATypedKeyComesBackAsItIsWritten(t *testing.T) {
	words := map[string][]string{
		"profile": {"monitor", "conformant", "strict"}, "quarantine": {"tag", "hold", "reject"},
		"temperror.ours": {"accept", "tempfail"}, "temperror.domain": {"accept", "tempfail", "quarantine"},
		"temperror.unknown_client": {"tag", "accept", "tempfail"},
		"from.missing":             {"profile", "accept", "quarantine", "reject"},
	}
	for key, list := range words {
		for _, word := range list {
			text := goodListener
			got := func(c *Config) fmt.Stringer { return c.Listeners[0].Profile }
			switch table, name, inTable := strings.Cut(key, "."); {
			case key == "profile":
				text = strings.Replace(goodListener, "conformant", word, 1)
			case key == "quarantine":
				text += fmt.Sprintf("quarantine = %q\n", word)
				got = func(c *Config) fmt.Stringer { return c.Listeners[0].Quarantine }
			case inTable:
				text = fmt.Sprintf("[%s]\n%s = %q\n%s", table, name, word, goodListener)
				got = func(c *Config) fmt.Stringer {
					return map[string]fmt.Stringer{
						"temperror.ours": c.TempError.Ours, "temperror.domain": c.TempError.Domain,
						"temperror.unknown_client": c.TempError.UnknownClient, "from.missing": c.From.Missing,
					}[key]
				}
			}
			c, err := Parse("test", []byte(text))
			if err != nil {
				t.Errorf("%s = %q: %v", key, word, err)
			} else if got(c).String() != word {
				t.Errorf("%s = %q is read as %q", key, word, got(c))
			}
		}
	}
}
