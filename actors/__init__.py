"""The actors (lister, coordinator, comparison, history store), how they are deployed and how a run is supervised."""
