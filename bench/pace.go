package bench

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// pace says how long a measurement of a workload takes: estimates, by looking.
type pace struct {
	loads float64       // as many times as long as the load is asked for
	rest  time.Duration // and this
}

const (
	setUpTime   = time.Second / 2 // of a comparison: hosts and contestants
	processTime = time.Second / 3 // of each contestant that is started for a measurement
	buildTime   = 15 * time.Second
	endTime     = 20 * time.Second // kept for the end of a run
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

// thoroughness is what the length of a run depends on.
type thoroughness struct {
	rounds int           // of each contestant in a comparison
	load   time.Duration // of each measurement, where the load has no length of its own
}

// usual is what a run is that is told nothing and has the time.
var usual = thoroughness{3, 2 * time.Second}

// hurried is what else it can be, the last when there is no time for the others either.
var hurried = []thoroughness{{3, time.Second}, {2, time.Second}, {1, time.Second}}

// fitting returns how thorough a run can be of all that is chosen, count times, with these contestants; no limit is negative.
func fitting(chosen []*workload, all []peer, count int, limit time.Duration) thoroughness {
	t := usual
	for _, less := range hurried {
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

// endBy has the run end before d after begin, which includes what takes longer than was thought, and the table; 0 is no limit.
func (o *options) endBy(begin time.Time, d time.Duration) {
	if d > 0 {
		o.until = begin.Add(d - min(endTime, d/10))
	}
}

// left returns how much time there is; negative: there is no limit.
func (o options) left() time.Duration {
	if o.until.IsZero() {
		return -1
	}
	return max(0, time.Until(o.until))
}

// hasTime tells whether there is time for d more.
func (o options) hasTime(d time.Duration) bool {
	left := o.left()
	return left < 0 || d < left
}

// matching returns the workloads of list that a pattern of -bench chooses, as package testing reads it: parts between slashes
// for the parts of a name, and alternatives of such patterns. What cannot be read chooses nothing: package testing says so.
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

// split splits a regular expression where a separator stands outside of brackets of both kinds.
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
