package main

import "kroxy-ev/config"

// onlyServer is the one server that a process serves so far.
func onlyServer(cfg *config.Config) *config.Server { return cfg.Servers[0] }

// onlyRoute is the one route of it.
func onlyRoute(cfg *config.Config) *config.Route { return &onlyServer(cfg).Routes[0] }

// onlyGroup is where it leads.
func onlyGroup(cfg *config.Config) *config.Group { return onlyRoute(cfg).To[0].Group }

// onlyMode is how clients are spoken to.
func onlyMode(cfg *config.Config) config.Mode { return onlyServer(cfg).Mode }
