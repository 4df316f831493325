"""Since which version each setting is there, by section."""

SINCE = {
    "unreleased": """
        run: track
        model: kernel fused chat_template template_arguments date
        parallel: shard
        task.judge: url model rubric low high weight correct_at key_variable temperature max_tokens concurrency
            seconds tries cache failed
        task: within guesses split test_split revision broken long system draws seed seconds prompt_field failed
            answers environment arguments
        task.generators: name weight difficulty options
        task.tasks: weight label task
        rollout: only min_p stop keep_stop ahead old_logprobs redraws redraw_by mask_truncated truncate_ratio
            correction least_ratio engine servers published servers_see patience canary
        objective: kl_weighted sequence_mask entropy_coef entropy_target entropy_step top_entropy delta
            overlong_filter clip count tau_right tau_wrong log_low log_high k_right lambda_right k_wrong
            lambda_wrong tv_low tv_high most k share cov_low cov_high penalty teacher exact every reward_coef
        adapter: reference init_a ranks most_parameters b_rate slack begin rule probe
        evaluate: samples
        save: samples_every compress best
        data: data split test_split revision broken long system
        data.rows: instruction input output
    """,
    "0.1.0": """
        run: method description seed steps threads rewards batch
        model: path dtype device quantisation
        task: name largest data test hub_config train_problems subset_seed style question_field answer_field
            fewest most largest_target instruction reward weights correct_at path
        rollout: problems group_size max_new_tokens temperature top_p top_k rows record_gb updates minibatches
            sync_every
        objective: kind std kl_coef kl reduce clip_low clip_high reward ties all_wrong redraws overlong_share
            alpha ratio sides right_weight path
        adapter: kind start rank alpha dropout scaling targets budget events settle shrink reach floor cap l1
            gate_lr prune_below
        optimiser: lr betas epsilon weight_decay warmup schedule max_grad_norm tokens_per_pass activations_gb
        evaluate: every limit validation_limit validation_at_end
        collapse: share steps stop
        save: every keep
        data: test hub_config loss_on longest limit subset_seed
        data.rows: kind prompt completion messages
    """,
}
"""The settings that each version of CHANGELOG.md brought; those outside of a section under `run`. A renamed setting
counts as new."""


def since() -> dict[str, str]:
    """The version by the key of a setting."""
    found: dict[str, str] = {}
    for version, text in SINCE.items():
        section = ""
        for word in text.split():
            if word.endswith(":"):
                section = "" if word == "run:" else word.replace(":", ".")
            else:
                found[f"{section}{word}"] = version
    return found
