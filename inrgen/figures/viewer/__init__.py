"""The page that `inrgen view` makes: it carries weights and evaluates them in the browser."""
