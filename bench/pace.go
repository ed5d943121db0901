package bench

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// pace says how long a measurement of a workload takes, by rough estimates.
type pace struct {
	loads float64       // multiples of the requested load time
	rest  time.Duration // plus this
}

const (
	setUpTime   = time.Second / 2 // per comparison: hosts and contestants
	processTime = time.Second / 3 // per contestant that is started for a measurement
	buildTime   = 15 * time.Second
	endTime     = 20 * time.Second // reserved for the end of a run
)

// takes returns how long w takes with that many contestants.
func (w *workload) takes(contestants int, t thoroughness) time.Duration {
	p := w.pace
	if p == (pace{}) {
		p = pace{loads: 1, rest: time.Second / 5}
	}
	each := time.Duration(p.loads*float64(t.load)) + p.rest
	if w.fresh {
		each += processTime
	}
	return setUpTime + time.Duration(contestants*t.rounds)*each
}

// thoroughness determines the length of a run.
type thoroughness struct {
	rounds int           // of each contestant in a comparison
	load   time.Duration // length of each measurement, unless the load has its own length
}

// usual is the default thoroughness if there is enough time.
var usual = thoroughness{3, 2 * time.Second}

// fallbacks are used if there is less time, in this order; the last one is used if there is no time for any of the others.
var fallbacks = []thoroughness{{3, time.Second}, {2, time.Second}, {1, time.Second}}

// fitting returns how thorough a run of all that is chosen, count times, with these contestants can be; a negative limit means none.
func fitting(chosen []*workload, all []peer, count int, limit time.Duration) thoroughness {
	t := usual
	for _, less := range fallbacks {
		total := buildTime
		for _, w := range chosen {
			total += time.Duration(count) * w.takes(len(contestants(all, w)), t)
		}
		if limit < 0 || total <= limit {
			break
		}
		t = less
	}
	return t
}

// endBy makes the run end before d after begin, with a reserve for underestimated steps and the table; 0 means no limit.
func (o *options) endBy(begin time.Time, d time.Duration) {
	if d > 0 {
		o.until = begin.Add(d - min(endTime, d/10))
	}
}

// left returns the remaining time; negative if there is no limit.
func (o options) left() time.Duration {
	if o.until.IsZero() {
		return -1
	}
	return max(0, time.Until(o.until))
}

// hasTime reports whether there is time for d more.
func (o options) hasTime(d time.Duration) bool {
	left := o.left()
	return left < 0 || d < left
}

// matching returns the workloads of list that a -bench pattern chooses, as package testing interprets it: slashes separate patterns for the parts
// of
// a name, and there may be alternatives. An invalid pattern chooses nothing: package testing reports it.
func matching(pattern string, list []*workload) []*workload {
	var alternatives [][]*regexp.Regexp
	for _, a := range split(pattern, '|') {
		var parts []*regexp.Regexp
		for _, s := range split(a, '/') {
			r, err := regexp.Compile(s)
			if err != nil {
				return nil
			}
			parts = append(parts, r)
		}
		alternatives = append(alternatives, parts)
	}
	var chosen []*workload
	for _, w := range list {
		name := strings.Split("Benchmark"+w.name, "/")
		if slices.ContainsFunc(alternatives, func(parts []*regexp.Regexp) bool {
			for i := range min(len(parts), len(name)) {
				if !parts[i].MatchString(name[i]) {
					return false
				}
			}
			return true
		}) {
			chosen = append(chosen, w)
		}
	}
	return chosen
}

// split splits a regular expression at separators outside of brackets of both kinds.
func split(s string, separator byte) (parts []string) {
	square, round, begin := 0, 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '[':
			square++
		case c == ']':
			square = max(0, square-1)
		case square > 0:
		case c == '(':
			round++
		case c == ')':
			round--
		case c == separator && round == 0:
			parts = append(parts, s[begin:i])
			begin = i + 1
		}
	}
	return append(parts, s[begin:])
}
