package term

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressShowsNothingForTwoSecondsAndThenFiveTextsASecond(t *testing.T) {
	var out strings.Builder
	now := time.Unix(1000, 0)
	p := &Progress{Out: &out, Now: func() time.Time { return now }}
	for i := range 40 { // four seconds
		p.Count(i, 40, "domain")
		now = now.Add(100 * time.Millisecond)
	}
	texts := strings.Split(strings.TrimPrefix(out.String(), "\r"), "\r")
	if len(texts) != 10 || texts[0] != "20 of 40 domains" || strings.TrimSpace(texts[9]) != "38 of 40 domains" {
		t.Errorf("texts = %q; want ten, from 20 to 38 of 40 domains", texts)
	}
	p.Clear()
	if !strings.HasSuffix(out.String(), "\r"+strings.Repeat(" ", 16)+"\r") {
		t.Errorf("after Clear the line is %q; want it empty", out.String())
	}
}

func TestProgressWhileShowsTheSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := &Progress{Out: &out, Now: time.Now}
		end := p.While("deleting results")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		end()
		for _, want := range []string{"\rdeleting results, 2 s", "\rdeleting results, 3 s"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the line was %q; want %q", out.String(), want)
			}
		}
		if strings.Contains(out.String(), ", 1 s") {
			t.Errorf("the line was %q; want nothing before two seconds", out.String())
		}
	})
}

func TestProgressOfNoTerminalIsNil(t *testing.T) {
	p := NewProgress(&strings.Builder{}, false)
	if p != nil {
		t.Fatalf("NewProgress = %+v; want nil", p)
	}
	p.Show(func() string { return "never" })
	p.Count(1, 2, "domain")
	p.While("x")()
	p.Clear()
}
