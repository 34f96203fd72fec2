"""Tables, figures and the HTML report: made from run directories and nothing else."""
