"""What gateways send by themselves: bad events, and pairs of requests and answers."""
