package proxy

import (
	"fmt"

	"kroxy-ev/config"
	"kroxy-ev/httpcodec/policy"
	"kroxy-ev/httpcodec/route"
)

// compiled is the compiled form of a server's routes. It is immutable and may be shared by snapshots.
type compiled struct {
	table    *route.Table
	policies []policy.Set // in http mode, one per route
	unrouted policy.Set   // in http mode, for requests that match no route
}

// checkRoutes checks the routes of cfg, which must be new and not shared yet, and warns of unreachable routes. It stores the compiled routes in
// the servers, so that snapshots of cfg need not compile them again.
func checkRoutes(cfg *config.Config) (warnings []config.Problem, err error) {
	var bad []config.Problem
	for _, s := range cfg.Servers {
		table, shadows, problems := route.Check(s.Routes)
		c, wrong := compilePolicies(cfg, s, table, problems)
		if wrong != nil {
			bad = append(bad, wrong.Problems...)
			continue
		}
		s.Compiled = c
		for _, shadow := range shadows {
			r, by := &s.Routes[shadow.Route], &s.Routes[shadow.By]
			earlier := by.Path
			if by.Name != by.Path {
				earlier = fmt.Sprintf("%q (%s)", by.Name, by.Path)
			}
			warnings = append(warnings, cfg.Problem(r.Path, "no request reaches this route: "+earlier+", which precedes it, matches all its requests",
				"put it before that one, or remove it"))
		}
	}
	return warnings, config.AsError(bad, nil)
}

// compileRoutes returns the compiled routes of s.
func compileRoutes(cfg *config.Config, s *config.Server) (*compiled, error) {
	if c, ok := s.Compiled.(*compiled); ok {
		return c, nil
	}
	table, problems := route.Compile(s.Routes)
	c, bad := compilePolicies(cfg, s, table, problems)
	if bad != nil {
		return nil, config.AsError(bad.Problems, nil)
	}
	return c, nil
}

// compilePolicies compiles the policies of s's routes. Table and problems are the result of compiling the routes.
func compilePolicies(cfg *config.Config, s *config.Server, table *route.Table, problems []route.Problem) (*compiled, *config.Error) {
	var bad []config.Problem
	for _, p := range problems {
		bad = append(bad, cfg.Problem(p.Path, p.What, p.Remedy))
	}
	c := &compiled{table: table}
	if problems == nil && s.Mode == config.ModeHTTP {
		policies := func(r *config.Route) policy.Set {
			set, problems := policy.Compile(r)
			for _, p := range problems {
				bad = append(bad, cfg.Problem(r.Path+"."+p.Path, p.What, p.Remedy))
			}
			return set
		}
		c.policies = make([]policy.Set, len(s.Routes))
		for i := range s.Routes {
			c.policies[i] = policies(&s.Routes[i])
		}
		c.unrouted = policies(&s.Unrouted)
	}
	if bad != nil {
		return nil, &config.Error{Problems: bad}
	}
	return c, nil
}
