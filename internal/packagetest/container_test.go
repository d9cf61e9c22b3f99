package packagetest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const containers = "../../deploy/container"

// lines returns the instructions of the Dockerfile, from its last stage on.
func lastStage(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(containers, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		switch line = strings.TrimSpace(line); {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case strings.HasPrefix(line, "FROM "):
			out = nil
		}
		out = append(out, line)
	}
	return out
}

func TestDockerfileEndsWithEmptyImageAndUserOtherThanRoot(t *testing.T) {
	stage := lastStage(t)
	for _, want := range []string{"FROM scratch", "USER 65532:65532", `ENTRYPOINT ["/usr/sbin/dmarcgate"]`, `CMD ["serve"]`} {
		if !slices.Contains(stage, want) {
			t.Errorf("the last stage of the Dockerfile has no line %q", want)
		}
	}
	for _, line := range stage { // there is no shell to run it
		if strings.HasPrefix(line, "RUN ") || strings.Contains(line, "CMD ") && !strings.Contains(line, "CMD [") {
			t.Errorf("the last stage of the Dockerfile has %q, which needs a shell", line)
		}
	}
}

// composeFile is what the test reads of compose.yaml.
type composeFile struct {
	Services map[string]struct {
		Image string
		Build struct {
			Context, Dockerfile string
			Inline              string `yaml:"dockerfile_inline"`
		}
		Volumes, Secrets, Networks []string
		DependsOn                  []string `yaml:"depends_on"`
		Environment                map[string]string
	}
	Networks, Volumes map[string]any
	Secrets           map[string]struct{ File string }
}

func TestComposeNamesWhatExists(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(containers, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var c composeFile
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dmarcgate", "postfix", "postgres"} {
		if s := c.Services[name]; s.Image == "" && s.Build.Dockerfile == "" && s.Build.Inline == "" {
			t.Errorf("the service %s has no image and no build", name)
		}
	}
	for name, s := range c.Services {
		if s.Build.Dockerfile != "" {
			exists(t, name, filepath.Join(s.Build.Context, s.Build.Dockerfile))
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(source, ".") {
				exists(t, name, source)
			} else if _, ok := c.Volumes[source]; !ok {
				t.Errorf("the service %s uses the volume %s, which is not listed", name, source)
			}
		}
		listed(t, name, s.Networks, c.Networks)
		listed(t, name, s.Secrets, c.Secrets)
		listed(t, name, s.DependsOn, c.Services)
	}
	if milters := c.Services["postfix"].Environment["MILTERS"]; !strings.HasPrefix(milters, "{ inet:dmarcgate:8890, ") {
		t.Errorf("the milter of Postfix is %q; want the service dmarcgate", milters)
	}
}

func exists(t *testing.T, service, file string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(containers, file)); err != nil {
		t.Errorf("the service %s: %v", service, err)
	}
}

func listed[V any](t *testing.T, service string, names []string, all map[string]V) {
	t.Helper()
	for _, name := range names {
		if _, ok := all[name]; !ok {
			t.Errorf("the service %s names %s, which is not listed", service, name)
		}
	}
}
